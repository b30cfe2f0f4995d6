package main

import (
	"bytes"
	"cmp"
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

	"go.yaml.in/yaml/v3"

	"dicelab/stack"
)

// backend is a server that stores spans and answers Tempo's queries, or stores log lines
// and answers Loki's. The lab does both.
type backend struct {
	*process
	data  string // directory
	otlp  string // URL; "" for the real Loki, as tempo is
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
	text, err := tempoConfig(addrs[1], map[string]string{
		"DICELAB_DIR": data, "DICELAB_TEMPO_PORT": port, "DICELAB_TEMPO_GRPC_PORT": rpc, "DICELAB_TEMPO_GRPC_ADDR": addrs[2],
	})
	if err != nil {
		return nil, fmt.Errorf("making Tempo's configuration: %w", err)
	}
	proc, err := startServer(ctx, p, p.tempo, "tempo.yml", text)
	if err != nil {
		return nil, err
	}
	b := &backend{process: proc, data: data, otlp: "http://" + addrs[1], tempo: "http://" + addrs[0]}
	return b, b.ready(ctx)
}

// startLoki starts the real Loki by itself.
func startLoki(ctx context.Context, p plan, data string) (*backend, error) {
	var addrs [2]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	_, rpc, _ := strings.Cut(addrs[1], ":")
	config, err := configOf("loki/loki.yml", map[string]string{
		"DICELAB_DIR": data, "DICELAB_LOKI_PORT": port, "DICELAB_LOKI_GRPC_PORT": rpc, "DICELAB_LOKI_GRPC_ADDR": addrs[1],
	})
	if err != nil {
		return nil, fmt.Errorf("making Loki's configuration: %w", err)
	}
	limits := config["limits_config"].(section)
	limits["ingestion_rate_mb"], limits["ingestion_burst_size_mb"] = 1000, 1000
	limits["per_stream_rate_limit"], limits["per_stream_rate_limit_burst"] = "1000MB", "1000MB"
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, err
	}
	proc, err := startServer(ctx, p, p.loki, "loki.yml", text)
	if err != nil {
		return nil, err
	}
	b := &backend{process: proc, data: data, loki: "http://" + addrs[0]}
	return b, b.ready(ctx)
}

// startServer starts a real server with a configuration.
func startServer(ctx context.Context, p plan, program, name string, text []byte) (*process, error) {
	config := filepath.Join(p.dir, name)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	return startProcess(ctx, nil, program, "-config.file="+config)
}

// section is a part of a configuration.
type section = map[string]any

// configOf returns the lab's own configuration of a server, with these variables
// filled in.
func configOf(name string, variables map[string]string) (config section, err error) {
	text, err := stack.Configs.ReadFile(name)
	if err != nil {
		return nil, err
	}
	filled := os.Expand(string(text), func(variable string) string { // NAME:-default
		name, preset, _ := strings.Cut(variable, ":-")
		return cmp.Or(variables[name], preset)
	})
	return config, yaml.Unmarshal([]byte(filled), &config)
}

// tempoConfig returns the lab's own configuration of Tempo, with these variables filled in,
// OTLP over HTTP, no metrics generator, and limits above those of the benchmark.
func tempoConfig(otlp string, variables map[string]string) ([]byte, error) {
	config, err := configOf("tempo/tempo.yml", variables)
	if err != nil {
		return nil, err
	}
	config["distributor"].(section)["receivers"] = section{"otlp": section{"protocols": section{"http": section{"endpoint": otlp}}}}
	const unlimited = 500_000_000
	config["overrides"] = section{"defaults": section{"ingestion": section{
		"rate_limit_bytes": unlimited, "burst_size_bytes": unlimited, "max_traces_per_user": unlimited,
	}}}
	return yaml.Marshal(config)
}

func (b *backend) ready(ctx context.Context) error {
	if err := b.wait(ctx, cmp.Or(b.tempo, b.loki)+"/ready"); err != nil {
		return errors.Join(err, b.stop())
	}
	return nil
}

// export sends one export. If it returns nil, the export is stored.
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

// search searches 20 traces of the last hour, and returns the response.
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

// size returns the number of bytes that the files of traces and logs take, without
// metrics.
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
