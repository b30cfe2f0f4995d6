package lab_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
)

func otlp() lab.OTLP { return lab.OTLP{HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"} }

func keyed() lab.OTLP {
	o := otlp()
	o.OwnKey = "k"
	return o
}

func TestEnviron(t *testing.T) {
	const name = "OTEL_SERVICE_NAME=" + contract.ServiceRoller
	const http, grpc = "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317"
	for _, tt := range []struct {
		name string
		base []string
		otlp lab.OTLP
		want []string
	}{
		{name: "nothing set", otlp: otlp(), want: []string{name, http}},
		{name: "others are passed on", base: []string{"HOME=/home/a", "OTEL_BSP_SCHEDULE_DELAY=5", "OTEL_RESOURCE_ATTRIBUTES=a=b,service.name=mine"}, otlp: otlp(),
			want: []string{"HOME=/home/a", "OTEL_BSP_SCHEDULE_DELAY=5", "OTEL_RESOURCE_ATTRIBUTES=a=b,service.name=mine", name, http}},
		{name: "the user's service name is not", base: []string{"OTEL_SERVICE_NAME=mine", "A=1"}, otlp: otlp(), want: []string{"A=1", name, http}},
		{name: "the user's endpoint is", base: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"}, otlp: otlp(),
			want: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", name}},
		{name: "the user's endpoint for traces is", base: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4318/v1/traces"}, otlp: otlp(),
			want: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4318/v1/traces", name}},
		{name: "an empty endpoint is none", base: []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, otlp: otlp(), want: []string{name, http}},
		{name: "an endpoint for another signal is none", base: []string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://x"}, otlp: otlp(),
			want: []string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://x", name, http}},
		{name: "gRPC has its own port", base: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, otlp: otlp(),
			want: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", name, grpc}},
		{name: "the protocol for traces wins", base: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, otlp: otlp(),
			want: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", name, http}},
		{name: "of two values the last counts", base: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://a", "OTEL_EXPORTER_OTLP_ENDPOINT="}, otlp: otlp(), want: []string{name, http}},
		{name: "a lab that takes no OTLP", want: []string{name}},
		{name: "the lab's key", otlp: keyed(), want: []string{name, http, "OTEL_EXPORTER_OTLP_HEADERS=dicelab-own-key=k"}},
		{name: "the lab's key besides the user's headers", base: []string{"OTEL_EXPORTER_OTLP_HEADERS=a=b"}, otlp: keyed(),
			want: []string{name, http, "OTEL_EXPORTER_OTLP_HEADERS=a=b,dicelab-own-key=k"}},
		{name: "the lab's key besides the user's headers for traces", base: []string{"OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=c=d"}, otlp: keyed(),
			want: []string{"OTEL_EXPORTER_OTLP_HEADERS=a=b", name, http, "OTEL_EXPORTER_OTLP_TRACES_HEADERS=c=d,dicelab-own-key=k"}},
		{name: "the lab's key is for the lab alone", base: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"}, otlp: keyed(),
			want: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", name}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := slices.Clone(tt.base)
			if diff := cmp.Diff(tt.want, lab.Environ(base, contract.ServiceRoller, tt.otlp)); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.base, base); diff != "" {
				t.Errorf("the caller's slice was changed:\n%s", diff)
			}
		})
	}
}

// Whatever the environment, a service has one name and its own, an endpoint,
// and everything that is not the lab's business as it was.
func FuzzEnviron(f *testing.F) {
	f.Add("A=1\nOTEL_SERVICE_NAME=x\nOTEL_SERVICE_NAME=y")
	f.Add("OTEL_EXPORTER_OTLP_ENDPOINT=\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	f.Add("=\nOTEL_SERVICE_NAME\nOTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x")
	f.Fuzz(func(t *testing.T, text string) {
		base := strings.Split(text, "\n")
		got := lab.Environ(base, "roller", otlp())
		named := func(prefix string) func(string) bool {
			return func(kv string) bool { return strings.HasPrefix(kv, prefix) }
		}
		const name, endpoint = "OTEL_SERVICE_NAME=", "OTEL_EXPORTER_OTLP_"
		var names []string
		for _, kv := range got {
			if strings.HasPrefix(kv, name) {
				names = append(names, kv)
			}
		}
		if diff := cmp.Diff([]string{name + "roller"}, names); diff != "" {
			t.Error(diff)
		}
		if !slices.ContainsFunc(got, named("OTEL_EXPORTER_OTLP_ENDPOINT=http")) && !slices.ContainsFunc(base, named(endpoint)) {
			t.Errorf("no endpoint in %q", got)
		}
		rest := func(env []string) []string {
			return slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return named(name)(kv) || named(endpoint)(kv) })
		}
		if diff := cmp.Diff(rest(base), rest(got)); diff != "" {
			t.Errorf("the rest changed (-base +got):\n%s", diff)
		}
	})
}
