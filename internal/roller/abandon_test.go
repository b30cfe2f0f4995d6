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

// abandon asks for a roll that would take an hour, and leaves once the service
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
	s.log.wait(t, contract.FieldMessage, contract.MsgRollReceived)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("the roll ended by itself: %v", err)
	}
}

func TestAbandonedRoll(t *testing.T) {
	s := start(t, roller.Options{Dice: roller.NewDice(1, 1000*time.Hour, 0.1)})
	before := s.metrics(t)
	abandon(t, s)

	line := s.log.wait(t, contract.FieldMessage, contract.MsgRollAbandoned)
	received := s.log.wait(t, contract.FieldMessage, contract.MsgRollReceived)
	if id, ok := line[contract.FieldTraceID].(string); !ok || len(id) != 32 || received[contract.FieldTraceID] != id {
		t.Errorf("trace_id %v, and %v when the request came", line[contract.FieldTraceID], received[contract.FieldTraceID])
	}
	for _, field := range []string{contract.FieldTimestamp, contract.FieldTraceID, contract.FieldSpanID, contract.FieldDurationSeconds} {
		delete(line, field)
	}
	want := map[string]any{contract.FieldLevel: contract.LevelWarning, contract.FieldMessage: contract.MsgRollAbandoned,
		contract.FieldLogger: contract.ServiceRoller, contract.FieldDieType: contract.DieRisky,
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
