package frontend_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web"
)

// diceRoller starts the real one.
func diceRoller(t *testing.T, faults *fault.Set, switches bool) string {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", telemetrytest.NewSink(t).URL)
	tel := newTelemetry(t, contract.ServiceRoller, telemetrytest.NewLog(t), faults)
	handler, err := roller.NewHandler(roller.Options{Telemetry: tel, Dice: roller.NewDice(1, 0, 0), Faults: faults, Switches: switches})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// flip presses a switch on the page.
func (s *service) flip(t *testing.T, service string, form url.Values) answer {
	t.Helper()
	form.Set("service", service)
	return s.post(t, "/faults/switch", form, "Accept", asHTML)
}

// switches reads the panel: what is on, by service.
func (s *service) switches(t *testing.T) map[string][]string {
	t.Helper()
	on := map[string][]string{}
	for _, form := range parse(t, s.get(t, "/")).must(t, "faults").all("form") {
		service, _ := form.all("input")[0].attr("value")
		for _, button := range form.all("button") {
			name, _ := button.attr("value")
			label, _ := button.attr("aria-label")
			if action, _ := button.attr("name"); action == "disable" {
				on[service] = append(on[service], name+" "+strings.Join(texts(form.where("class", "badge bad")), ""))
				if want := "Switch " + name + " of " + service + " off"; label != want || button.text() != "Switch off" {
					t.Errorf("button %q is labelled %q, want %q", button.text(), label, want)
				}
			}
		}
	}
	return on
}

func TestSwitches(t *testing.T) {
	own, theirs := faults(t, "slow=1ms"), faults(t)
	s := start(t, config{roller: diceRoller(t, theirs, true), faults: own, switches: true})

	panel := parse(t, s.get(t, "/")).must(t, "faults")
	if got, want := len(panel.all("form")), 2*len(fault.Catalogue()); got != want {
		t.Errorf("%d switches, want %d: the catalogue for each service", got, want)
	}
	if diff := cmp.Diff([]string{contract.ServiceFrontend, contract.ServiceRoller}, texts(panel.all("h3"))); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{contract.ServiceFrontend: {"slow on · 1ms"}}, s.switches(t)); diff != "" {
		t.Errorf("switches at the start (-want +got):\n%s", diff)
	}
	for _, step := range []struct {
		name, service string
		form          url.Values
		want          map[string][]string
	}{
		{name: "roller on", service: contract.ServiceRoller, form: url.Values{"enable": {"fail"}, "value": {"100%"}},
			want: map[string][]string{contract.ServiceFrontend: {"slow on · 1ms"}, contract.ServiceRoller: {"fail on · 100%"}}},
		{name: "front end on", service: contract.ServiceFrontend, form: url.Values{"enable": {"no-propagation"}},
			want: map[string][]string{contract.ServiceFrontend: {"no-propagation on", "slow on · 1ms"}, contract.ServiceRoller: {"fail on · 100%"}}},
		{name: "front end off", service: contract.ServiceFrontend, form: url.Values{"disable": {"slow"}},
			want: map[string][]string{contract.ServiceFrontend: {"no-propagation on"}, contract.ServiceRoller: {"fail on · 100%"}}},
		{name: "roller off", service: contract.ServiceRoller, form: url.Values{"disable": {"fail"}},
			want: map[string][]string{contract.ServiceFrontend: {"no-propagation on"}}},
	} {
		a := s.flip(t, step.service, step.form)
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != "/#faults" {
			t.Errorf("%s: answered %d, Location %q", step.name, a.status, got)
		}
		if diff := cmp.Diff(step.want, s.switches(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if diff := cmp.Diff([]string{"no-propagation"}, own.On()); diff != "" || len(theirs.On()) != 0 {
		t.Errorf("the roller has %q on; the front end (-want +got):\n%s", theirs.On(), diff)
	}
}

// A switch that is refused says why on the page, next to the switches.
func TestRefusedSwitch(t *testing.T) {
	const unknown = `Unknown fault "gremlins": choose one of `
	withSwitches, without := diceRoller(t, faults(t), true), diceRoller(t, faults(t), false)
	for _, tt := range []struct {
		name, roller, service string
		form                  url.Values
		want                  string
	}{
		{name: "unknown here", roller: withSwitches, service: contract.ServiceFrontend, form: url.Values{"enable": {"gremlins"}}, want: unknown},
		{name: "unknown there", roller: withSwitches, service: contract.ServiceRoller, form: url.Values{"enable": {"gremlins"}}, want: unknown},
		{name: "bad value", roller: withSwitches, service: contract.ServiceRoller, form: url.Values{"enable": {"slow"}, "value": {"<b>soon"}},
			want: "Fault slow=<b>soon: want a duration from 0s to 1m0s, such as 2s."},
		{name: "nothing", roller: withSwitches, service: contract.ServiceFrontend, form: url.Values{}, want: "Nothing to switch: "},
		{name: "no such service", roller: withSwitches, service: "tempo", form: url.Values{"enable": {"no-export"}},
			want: `Service "tempo" has no switches: choose streamlit-frontend or dice-roller.`},
		{name: "roller without switches", roller: without, service: contract.ServiceRoller, form: url.Values{"enable": {"no-export"}},
			want: "/faults cannot be switched: start that service with --fault-switches too."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, config{roller: tt.roller, faults: faults(t), switches: true})
			a := s.flip(t, tt.service, tt.form)
			alerts := parse(t, a).must(t, "faults").where("role", "alert")
			if a.status != 422 || len(alerts) != 1 || !strings.Contains(alerts[0].text(), tt.want) {
				t.Errorf("answered %d, alerts %q, want 422 and %q", a.status, texts(alerts), tt.want)
			}
		})
	}
}

func TestUnreadableSwitch(t *testing.T) {
	s := start(t, config{roller: nowhere(t), faults: faults(t), switches: true})
	for body, status := range map[string]int{"enable=" + strings.Repeat("x", 70_000): 413, "enable=%zz": 400} {
		a := s.do(t, http.MethodPost, "/faults/switch", body, "Content-Type", formType)
		if p := decode[web.Problem](t, a.body); a.status != status || p.Status != status {
			t.Errorf("%.20s: answered %d %+v, want %d", body, a.status, p, status)
		}
	}
}

// If the roller has no switches or is gone, the page works and shows which it is.
func TestRollerWithoutSwitches(t *testing.T) {
	for _, tt := range []struct{ name, roller, want string }{
		{name: "none", roller: diceRoller(t, nil, false), want: "/faults cannot be switched: start that service with --fault-switches too."},
		{name: "gone", roller: nowhere(t), want: "connection refused."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, config{roller: tt.roller, faults: faults(t), switches: true})
			a := s.get(t, "/")
			panel := parse(t, a).must(t, "faults")
			if notices := panel.where("class", "notice"); a.status != 200 || len(notices) != 1 || !strings.HasSuffix(notices[0].text(), tt.want) {
				t.Errorf("answered %d, notices %q, want %q", a.status, texts(notices), tt.want)
			}
			if got, want := len(panel.all("form")), len(fault.Catalogue()); got != want {
				t.Errorf("%d switches, want the front end's %d", got, want)
			}
		})
	}
}

// Without switches on the page there is no way to switch.
func TestNoSwitches(t *testing.T) {
	s := start(t, config{roller: nowhere(t), faults: faults(t)})
	for path, want := range map[string]int{"/faults": 405, "/faults/switch": 404} {
		if a := s.post(t, path, url.Values{"service": {contract.ServiceFrontend}, "enable": {"no-export"}}); a.status != want {
			t.Errorf("POST %s answered %d, want %d", path, a.status, want)
		}
	}
}

func TestFaultNoPropagation(t *testing.T) {
	seen := make(chan string, 1)
	s := start(t, config{faults: faults(t, "no-propagation"), roller: backend(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get(contract.HeaderTraceparent)
		reply(200, `{"roll":6}`)(w, r)
	})})
	result := parse(t, s.roll(t, contract.DieFair, asHTML)).must(t, "result")
	if got := <-seen; got != "" {
		t.Errorf("the roller got traceparent %q", got)
	}
	if got, want := result.text(), "No traceparent went to the dice roller: the context was not passed on."; !strings.Contains(got, want) || len(result.all("tr")) != 0 {
		t.Errorf("the page says %q, want %q", got, want)
	}
}

func TestFaultFail(t *testing.T) {
	s := start(t, config{faults: faults(t, "fail=100%", "slow=1ms"), roller: backend(t, func(http.ResponseWriter, *http.Request) { t.Error("the roller was asked") })})
	before := s.metrics(t)
	a := s.roll(t, contract.DieRisky, asJSON)
	p := decode[failure](t, a.body)
	if want := `The roll failed because the fault "fail" is switched on in the front end.`; a.status != 500 || p.Status != 500 || p.Detail != want {
		t.Errorf("answered %d %+v, want 500 %q", a.status, p, want)
	}
	if diff := cmp.Diff(map[string]float64{riskyClick: 1, rollPosted + `5xx"}`: 1}, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	line := s.log.Wait(contract.MsgFaultInjected)
	if line[contract.FieldLevel] != contract.LevelError || line[contract.FieldStatus] != 500.0 || line[contract.FieldError] != "fault fail=100% struck" {
		t.Errorf("log line %v", line)
	}
	s.sink.Wait(2)
	if click := s.sink.Named(contract.SpanButtonClick); click.Status != "Error" || click.Attributes[contract.AttrErrorType] != "500" {
		t.Errorf("span roll_button_click: %+v", click)
	}
}

// A fault affects a roll while its caller waits: an abandoned roll can no longer fail.
func TestFaultSlowIsNotWaitedFor(t *testing.T) {
	s := start(t, config{faults: faults(t, "slow=1m", "fail=100%"), roller: backend(t, func(http.ResponseWriter, *http.Request) { t.Error("the roller was asked") })})
	before, begun := s.metrics(t), make(chan struct{})
	go func() { s.log.Wait(contract.MsgButtonClicked); close(begun) }()
	abandon(t, s, begun)
	if diff := cmp.Diff(map[string]float64{riskyClick: 1, rollPosted + `4xx"}`: 1}, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	if line := s.log.Wait(contract.MsgBackendFailed); line[contract.FieldStatus] != 499.0 || line[contract.FieldLevel] != contract.LevelWarning {
		t.Errorf("log line %v", line)
	}
}

func TestFaultCounterStuck(t *testing.T) {
	s := start(t, config{faults: faults(t, "counter-stuck"), roller: backend(t, reply(200, `{"roll":6}`))})
	before := s.metrics(t)
	s.roll(t, contract.DieRisky, asJSON)
	want := map[string]float64{rollPosted + `2xx"}`: 1, riskyAsked: 1, riskyStatus + `200"}`: 1} // how one finds out
	if diff := cmp.Diff(want, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
}

// The wire lies; metric, span and body do not.
func TestFaultStatus200OnError(t *testing.T) {
	s := start(t, config{faults: faults(t, "status-200-on-error"), roller: backend(t, reply(500, `{"detail":"The risky die failed."}`))})
	before := s.metrics(t)
	a := s.roll(t, contract.DieRisky, asJSON)
	if p := decode[failure](t, a.body); a.status != 200 || p.Status != 502 {
		t.Errorf("answered %d %+v, want the problem of a 502 under a 200", a.status, p)
	}
	want := map[string]float64{rollPosted + `5xx"}`: 1, riskyClick: 1, riskyAsked: 1, riskyStatus + `500"}`: 1}
	if diff := cmp.Diff(want, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	s.sink.Wait(3)
	if server := s.sink.Named(contract.SpanFrontendRoll); server.Attributes["http.response.status_code"] != int64(502) || server.Status != "Error" {
		t.Errorf("span POST /roll: %+v", server)
	}
}

// A failed call is repeated, and each call is counted and has its span.
func TestFaultRetry(t *testing.T) {
	s := start(t, config{faults: faults(t, "retry=2"), roller: backend(t, reply(500, `{"detail":"The risky die failed."}`))})
	before := s.metrics(t)
	if a := s.roll(t, contract.DieRisky, asJSON); a.status != 502 {
		t.Errorf("answered %d", a.status)
	}
	want := map[string]float64{rollPosted + `5xx"}`: 1, riskyClick: 1, riskyAsked: 3, riskyStatus + `500"}`: 3}
	if diff := cmp.Diff(want, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	calls := 0
	for _, span := range s.sink.Wait(5) {
		if span.Name == contract.SpanClient {
			calls++
		}
	}
	if calls != 3 {
		t.Errorf("%d calls have a span, want 3", calls)
	}
}

// A call is given up after the time of the fault, sooner than usual.
func TestFaultTimeout(t *testing.T) {
	gone := make(chan struct{})
	s := start(t, config{faults: faults(t, "timeout=1ms"), roller: backend(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})})
	a := s.roll(t, contract.DieRisky, asJSON)
	if p := decode[failure](t, a.body); a.status != 504 || !strings.Contains(p.Detail, "did not answer in time") {
		t.Errorf("answered %d %+v", a.status, p)
	}
	if line := s.log.Wait(contract.MsgBackendFailed); !strings.Contains(line[contract.FieldError].(string), "waited 1ms") {
		t.Errorf("log line %v", line)
	}
}
