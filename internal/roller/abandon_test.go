package roller_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
)

// abandon requests a roll that would take an hour, and leaves once the service
// has begun it.
func abandon(t *testing.T, s *service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/roll?die=risky", nil)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	go func() {
		resp, err := s.server.Client().Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		left <- err
	}()
	s.log.Wait(contract.MsgRollReceived)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("the roll ended by itself: %v", err)
	}
}

func TestAbandonedRoll(t *testing.T) {
	s := start(t, roller.Options{Dice: roller.NewDice(1, 1000*time.Hour, 0.1)})
	before := s.metrics(t)
	abandon(t, s)

	s.settle()
	s.sink.Wait(2)
	server, roll := s.sink.Named(contract.SpanRollerRoll), s.sink.Named(contract.SpanRoll)
	wantAttributes := map[string]any{contract.AttrDieType: contract.DieRisky, contract.AttrErrorType: contract.ErrorTypeCanceled}
	if diff := cmp.Diff(wantAttributes, roll.Attributes); diff != "" || roll.Status != "Unset" || roll.ParentID != server.SpanID {
		t.Errorf("span roll is %+v; attributes (-want +got):\n%s", roll, diff)
	}
	delete(wantAttributes, contract.AttrErrorType) // otelhttp sets none on SERVER spans
	wantAttributes["http.response.status_code"] = int64(contract.StatusClientClosedRequest)
	for name := range server.Attributes {
		if _, ok := wantAttributes[name]; !ok && !strings.HasPrefix(name, "die.") && name != contract.AttrErrorType { // die.error and die.result would be made up
			delete(server.Attributes, name)
		}
	}
	if diff := cmp.Diff(wantAttributes, server.Attributes); diff != "" || server.Status != "Unset" {
		t.Errorf("span GET /roll has status %s; attributes (-want +got):\n%s", server.Status, diff)
	}

	if received := s.log.Wait(contract.MsgRollReceived); received[contract.FieldTraceID] != server.TraceID || received[contract.FieldSpanID] != server.SpanID {
		t.Errorf("first line %v is not of span %s of trace %s", received, server.SpanID, server.TraceID)
	}
	line := s.log.Wait(contract.MsgRollAbandoned)
	delete(line, contract.FieldTimestamp)
	delete(line, contract.FieldDurationSeconds)
	want := map[string]any{contract.FieldLevel: contract.LevelWarning, contract.FieldMessage: contract.MsgRollAbandoned,
		contract.FieldLogger: contract.ServiceRoller, contract.FieldTraceID: roll.TraceID, contract.FieldSpanID: roll.SpanID, contract.FieldDieType: contract.DieRisky,
		contract.FieldStatus: 499.0, contract.FieldError: context.Canceled.Error()}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	after := s.metrics(t)
	wantMoved := map[string]float64{`http_requests_total{handler="/roll",method="GET",status="4xx"}`: 1}
	if diff := cmp.Diff(wantMoved, moved(before, after, "dice_", contract.MetricHTTPRequests)); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	for name := range after {
		if strings.Contains(name, "499") {
			t.Errorf("status 499 became a label: %s", name)
		}
	}
}
