package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/web"
)

// joiner joins the packages into the parts of a lab.
type joiner struct {
	*upFlags
	env    environment
	at     places
	dir    *lab.Dir
	report *lab.Report
	// container is the memory limit of the container in bytes; 0 if there is none, or
	// if GOMEMLIMIT is set.
	container uint64
	// programs are the paths of the real servers by component, with --stack=native.
	programs map[string]string
}

// parts lists what runs, in the order in which it starts: what takes telemetry
// before what emits it.
func (j joiner) parts() ([]lab.Part, error) {
	t, err := j.telemetry()
	if err != nil {
		return nil, err
	}
	parts, otlp, readLog := t.parts, t.otlp, t.readLog
	roller, err := j.service(contract.ServiceRoller, "roller", rollerAt, otlp, readLog, j.dice.args())
	if err != nil {
		return nil, err
	}
	explorerURL := j.at.url(explorerAt)
	frontend, err := j.service(contract.ServiceFrontend, "frontend", frontendAt, otlp, readLog, []string{
		"--roller-url", j.at.url(rollerAt), "--timeout", j.rollTimeout.String(), "--explorer-url", explorerURL,
		"--trace-url", explorerURL + "/traces/{trace_id}", "--logs-url", explorerURL + "/logs?trace_id={trace_id}",
	})
	if err != nil {
		return nil, err
	}
	checks, err := j.checks(otlp)
	if err != nil {
		return nil, err
	}
	explorer, err := j.backends.handler(j.at.url(frontendAt), checks)
	if err != nil {
		return nil, err
	}
	parts = append(parts, roller, frontend, lab.ServerPart("explorer", j.at[explorerAt], func() http.Handler { return web.Guard(explorer, *j.hosts...) }))
	if !*j.traffic {
		return parts, nil
	}
	traffic, err := j.users(otlp, readLog)
	if err != nil {
		return nil, err
	}
	return append(parts, traffic), nil
}

// users is the traffic generator, as two users that never stop. It ends where
// the services are drained, before them: they finish what it has under way.
func (j joiner) users(otlp lab.OTLP, readLog func(string, io.Reader) error) (lab.Part, error) {
	part, err := j.service(contract.ServiceTraffic, "traffic", trafficAt, otlp, readLog, []string{
		"--frontend-url", j.at.url(frontendAt), "--users", "2", "--max-rolls-per-user", "20", "--think", "1s..4s", "--forever",
		"--addr", j.at[trafficAt].Addr().String(), "--log", toStdout, "--report", toNone,
	})
	part.URL, part.Drain, part.Stop = "", part.Stop, nil
	return part, err
}

func (j joiner) server(name, at string, handler func() http.Handler) lab.Part {
	return lab.ServerPart(name, j.at[at], func() http.Handler { return web.Guard(handler(), *j.hosts...) })
}

// service runs one of this program's own services as a child process, as a
// container runtime would.
func (j joiner) service(service, command, at string, otlp lab.OTLP, readLog func(string, io.Reader) error, args []string) (lab.Part, error) {
	program, err := os.Executable()
	if err != nil {
		return lab.Part{}, fmt.Errorf("finding this program: %w", err)
	}
	c, err := child.New(child.Config{
		Name: service, Path: program, Args: slices.Concat([]string{command}, args, j.hostArgs(), j.faultArgs(service)),
		Env: lab.Environ(j.environ(), service, otlp), Listener: j.at[at], ReadyURL: j.at.url(at) + "/readyz",
		Stdout: func(r io.Reader) error { return readLog(service, r) }, Stderr: j.env.stderr, Notify: j.report.Children(),
	})
	if err != nil {
		return lab.Part{}, err
	}
	return lab.ServicePart(service, j.at.url(at), c), nil
}

// environ is the environment of children, before what the lab sets for each.
func (j joiner) environ() []string {
	environ := os.Environ()
	if j.container > 0 {
		environ = append(environ, fmt.Sprintf("%s=%d", envMemoryLimit, uint64(shareOfChild*float64(j.container))))
	}
	return environ
}
