package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// backend is something that takes spans and answers Tempo's queries.
type backend struct {
	*process
	data  string // directory
	otlp  string // URL
	tempo string
	loki  string // "" for the real Tempo
}

// startLab starts the lab with the embedded stack over a data directory.
func startLab(ctx context.Context, p plan, data string) (*backend, error) {
	names := []string{"frontend", "roller", "explorer", "prometheus", "loki", "tempo", "otlp-grpc", "otlp-http"}
	args, at := []string{"up", "--data", data}, map[string]string{}
	for _, name := range names {
		addr, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		args, at[name] = append(args, "--"+name+"-addr", addr), "http://"+addr
	}
	proc, err := startProcess(ctx, nil, p.dicelab, args...)
	if err != nil {
		return nil, err
	}
	b := &backend{process: proc, data: data, otlp: at["otlp-http"], tempo: at["tempo"], loki: at["loki"]}
	return b, b.ready(ctx)
}

// startTempo starts the real Tempo by itself.
func startTempo(ctx context.Context, p plan, data string) (*backend, error) {
	var addrs [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	_, rpc, _ := strings.Cut(addrs[2], ":")
	config := filepath.Join(p.dir, "tempo.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, tempoConfig, port, rpc, addrs[1], addrs[2], data), 0o600); err != nil {
		return nil, err
	}
	proc, err := startProcess(ctx, nil, p.tempo, "-config.file="+config)
	if err != nil {
		return nil, err
	}
	b := &backend{process: proc, data: data, otlp: "http://" + addrs[1], tempo: "http://" + addrs[0]}
	return b, b.ready(ctx)
}

// tempoConfig is stack/tempo/tempo.yml without the metrics generator, and with
// OTLP over HTTP.
const tempoConfig = `
server: {http_listen_address: 127.0.0.1, http_listen_port: %s, grpc_listen_address: 127.0.0.1, grpc_listen_port: %s, log_level: error}
distributor:
  ring: {kvstore: {store: inmemory}, instance_addr: 127.0.0.1}
  receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}}
ingester:
  lifecycler: {min_ready_duration: 0s, join_after: 0s, final_sleep: 0s, address: 127.0.0.1, ring: {replication_factor: 1, kvstore: {store: inmemory}}}
  trace_idle_period: 1s
  flush_check_period: 250ms
querier: {frontend_worker: {frontend_address: "%s"}}
compactor: {ring: {kvstore: {store: ""}}}
live_store: {ring: {kvstore: {store: inmemory}}}
storage: {trace: {backend: local, local: {path: "%[5]s/blocks"}, wal: {path: "%[5]s/wal"}}}
overrides: {defaults: {ingestion: {rate_limit_bytes: 500000000, burst_size_bytes: 500000000, max_traces_per_user: 10000000}}}
usage_report: {reporting_enabled: false}
`

func (b *backend) ready(ctx context.Context) error {
	if err := b.wait(ctx, b.tempo+"/ready"); err != nil {
		return errors.Join(err, b.stop())
	}
	return nil
}

// export sends one export; it is stored when this returns nil.
func (b *backend) export(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.otlp+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	_, err = send(req)
	return err
}

// push sends log lines, as Loki's clients do, in JSON.
func (b *backend) push(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.loki+"/loki/api/v1/push", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	_, err = send(req)
	return err
}

// search asks for 20 traces of the last hour, and gives the answer.
func (b *backend) search(ctx context.Context, query string) ([]byte, error) {
	return get(ctx, b.tempo+"/api/search?"+url.Values{"q": {query}, "limit": {"20"},
		"start": {fmt.Sprint(time.Now().Add(-time.Hour).Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}}.Encode())
}

func (b *backend) trace(ctx context.Context, id string) ([]byte, error) {
	return get(ctx, b.tempo+"/api/traces/"+id)
}

func (b *backend) logs(ctx context.Context, query string) ([]byte, error) {
	return get(ctx, b.loki+"/loki/api/v1/query_range?"+url.Values{"query": {query}, "limit": {"20"},
		"start": {fmt.Sprint(time.Now().Add(-time.Hour).UnixNano())}}.Encode())
}

// size is what the files of traces and logs take, in bytes; metrics are not
// counted.
func (b *backend) size() (total int64, err error) {
	err = filepath.WalkDir(b.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.IsDir() && d.Name() == "prometheus" {
				return fs.SkipDir
			}
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
