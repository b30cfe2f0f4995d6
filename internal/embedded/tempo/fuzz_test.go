package tempo_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tempo"
)

// Whatever the request is, the response is JSON or a text that describes the error, and
// only timeouts are server errors.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][2]string{
		{"/api/search", "q={name=\"roll\" && duration>1ms}&limit=3&spss=2&start=1&end=2"},
		{"/api/search", "tags=service.name%3Dx http.status%3D200&minDuration=1ms&maxDuration=2s"},
		{"/api/search", "q={} >> {.a=1.5} | count() > 2"},
		{"/api/traces/1af7651916cd43dd8448eb211c80319c", ""},
		{"/api/v2/traces/1", ""},
		{"/api/v2/search/tags", "scope=span&limit=3"},
		{"/api/v2/search/tag/resource.service.name/values", "q={}"},
		{"/api/v2/search/tag/.\"a b\"/values", "limit=1"},
		{"/api/search", "q={name=~`(?:(?:x?){1000})*y` || span.big!~`(?i)(x|y?){300}[^a]*z$`}&spss=100"},
		{"/api/search", "q={name=~`(x?){1000}(x?){1000}(x?){1000}(x?){1000}(x?){1000}(x?){1000}`}"},
		{"/api/search", "q={((((((((.a=1 || .a=~`\\pL\\PL`) || .list=\"x\"))))))) } >> {.deep!=``} > {} | count() >= 0"},
	} {
		f.Add(seed[0], seed[1])
	}
	s, err := store.Open(f.Context(), f.TempDir(), store.Options{Now: func() time.Time { return time.Unix(epoch, 0) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	deep := str("deep", "x")
	for range 50 {
		deep = &commonpb.KeyValue{Key: "deep", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep.Value}}}}}
	}
	large := span(orphanTrace, "0000000000000034", "0000000000000033", strings.Repeat("n", 2<<10), tracepb.Span_SPAN_KIND_SERVER, 0, 1, str("big", strings.Repeat("x", 64<<10)), deep)
	if err := s.AppendSpans(f.Context(), append(rolls(), batch(contract.ServiceRoller, large))); err != nil {
		f.Fatal(err)
	}
	h, err := tempo.NewHandler(s, tempo.Options{Timeout: 100 * time.Millisecond}) // a search may take all of it
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + path, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusGatewayTimeout {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK && w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %s", w.Body)
		}
	})
}
