package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"dicelab/internal/contract"
	"dicelab/internal/explorer"
	"dicelab/internal/grafana"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/web"
	"dicelab/stack"
)

// The flags that tell where something is.
const (
	frontendFlag   = "frontend-url"
	rollerFlag     = "roller-url"
	prometheusFlag = "prometheus-url"
	lokiFlag       = "loki-url"
	tempoFlag      = "tempo-url"
	alloyFlag      = "alloy-url"
	grafanaFlag    = "grafana-url"
)

// backends says where the three query APIs are.
type backends struct {
	prometheus, loki, tempo *string
	headers                 *[]string
}

// backendFlags defines the flags for the backends; when says, in their help, with
// what they have an effect.
func backendFlags(f *flags, when string) *backends {
	return &backends{
		prometheus: f.url(prometheusFlag, "http://localhost:"+contract.PortPrometheus, "`URL` of Prometheus"+when),
		loki:       f.url(lokiFlag, "http://localhost:"+contract.PortLoki, "`URL` of Loki"+when),
		tempo:      f.url(tempoFlag, "http://localhost:"+contract.PortTempo, "`URL` of Tempo"+when),
		headers:    headerFlag(f, when),
	}
}

func headerFlag(f *flags, when string) *[]string {
	return f.list("header", "`NAME=VALUE` to send with every query, for tenants and tokens (repeatable)"+when, checkHeader)
}

func checkHeader(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("write it as NAME=VALUE, such as X-Scope-OrgID=team")
	}
	return nil
}

// header is what every query carries.
func (b *backends) header() http.Header { return asHeader(*b.headers) }

func asHeader(list []string) http.Header {
	headers := http.Header{}
	for _, h := range list {
		name, value, _ := strings.Cut(h, "=") // checked as a flag
		headers.Add(name, value)
	}
	return headers
}

// handler makes the explorer over the backends. Its pages link to the front end.
func (b *backends) handler(frontendURL string, checks *explorerChecks) (http.Handler, error) {
	headers := b.header()
	config := func(url string) query.Config { return query.Config{URL: url, Header: headers} }
	prometheus, err1 := query.NewPrometheus(config(*b.prometheus))
	loki, err2 := query.NewLoki(config(*b.loki))
	tempo, err3 := query.NewTempo(config(*b.tempo))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	dashboard, err := grafana.LoadDashboard(stack.Configs)
	if err != nil {
		return nil, err
	}
	return explorer.NewHandler(explorer.Options{
		Prometheus: prometheus, Loki: loki, Tempo: tempo, Dashboard: dashboard, Checklist: checks, FrontendURL: frontendURL, Version: version(),
	})
}

func exploreCommand(ctx context.Context, env environment, f *flags) error {
	addr := f.address("addr", "127.0.0.1:"+contract.PortExplorer, "`address` to listen on; port 0 takes a free one")
	hosts := hostsFlag(f)
	c := defineChecks(f, ", for the checklist")
	roll := f.url("roll-link", "", "`URL` of the front end as browsers reach it (if not given: that of --"+frontendFlag+")")
	if err := f.parse(); err != nil {
		return err
	}
	if _, err := limitMemory(env.getenv, shareOfProcess, math.MaxUint64); err != nil {
		return err
	}
	checks, err := newExplorerChecks(c.options(), "start the lab with: dicelab up; or tell where the front end is: dicelab explore --"+frontendFlag+" URL", c.servers(f))
	if err != nil {
		return err
	}
	handler, err := c.backends.handler(cmp.Or(*roll, *c.frontend), checks)
	if err != nil {
		return err
	}
	listeners, err := lab.Listen(ctx, lab.Address{Addr: *addr, Owner: "the explorer", Flag: "--addr"})
	if err != nil {
		return err
	}
	signals, stop := lab.Signals()
	defer stop()
	report := lab.NewReport(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
	part := lab.ServerPart("explorer", listeners[0], func() http.Handler { return web.Guard(handler, *hosts...) })
	return (&lab.Lab{Parts: []lab.Part{part}, Report: report}).Run(ctx, signals)
}
