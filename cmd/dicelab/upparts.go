package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"dicelab/internal/checklist"
	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/quest"
	"dicelab/internal/verify"
	"dicelab/internal/web"
	"dicelab/stack"
)

// upLab joins the packages into the parts of a lab.
type upLab struct {
	*upCommand
	env       environment
	at        lab.Listeners
	dir       *lab.Dir
	report    *lab.Report
	container lab.Container
	programs  map[string]string // the paths of the real servers by component, with --stack=native
	control   string            // the token with which faults are hidden
}

// parts lists the parts of the lab in the order in which they start: those that take
// telemetry come before those that emit it.
func (u upLab) parts() ([]lab.Part, error) {
	s, otlp, err := u.stack()
	if err != nil {
		return nil, err
	}
	parts, err := s.Parts()
	if err != nil {
		return nil, err
	}
	explorerURL := u.at.URL(explorerAt)
	for _, service := range []struct {
		name, command, at string
		args              []string
	}{
		{contract.ServiceRoller, "roller", rollerAt, u.Dice.args()},
		{contract.ServiceFrontend, "frontend", frontendAt, []string{
			"--roller-url", u.at.URL(rollerAt), "--timeout", u.RollTimeout.String(), "--explorer-url", explorerURL,
			"--trace-url", explorerURL + "/traces/{trace_id}", "--logs-url", explorerURL + "/logs?trace_id={trace_id}",
		}},
	} {
		part, err := u.service(s, otlp, service.name, service.command, service.at, service.args)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	explorer, quests, err := u.explorer(otlp)
	if err != nil {
		return nil, err
	}
	explorer = web.Guard(explorer, cli.Texts(u.AllowHost)...)
	front := &parts[len(parts)-1]
	drain := front.Drain
	front.Drain = func(ctx context.Context) error { return errors.Join(quests.Close(), drain(ctx)) } // a quest makes rolls
	parts = append(parts, lab.ServerPart("explorer", u.at[explorerAt], func() http.Handler { return explorer }))
	if !u.Traffic {
		return parts, nil
	}
	traffic, err := u.users(s, otlp)
	return append(parts, traffic), err
}

// users returns the traffic generator, as two users that never stop. It ends where the
// services are drained, before them: they finish what it has under way.
func (u upLab) users(s telemetryStack, otlp lab.OTLP) (lab.Part, error) {
	part, err := u.service(s, otlp, contract.ServiceTraffic, "traffic", trafficAt, []string{
		"--frontend-url", u.at.URL(frontendAt), "--addr", u.at[trafficAt].Addr().String(), "--log", "stdout",
		"--report", "none", "--users", "2", "--max-rolls-per-user", "20", "--think", "1s..4s", "--forever",
	})
	part.URL, part.Drain, part.Stop = "", part.Stop, nil
	return part, err
}

// service runs one of this program's own services as a child process, as a container
// runtime would.
func (u upLab) service(s telemetryStack, otlp lab.OTLP, name, command, at string, args []string) (lab.Part, error) {
	program, err := os.Executable()
	if err != nil {
		return lab.Part{}, fmt.Errorf("finding this program: %w", err)
	}
	c, err := child.New(child.Config{
		Name: name, Path: program, Args: slices.Concat([]string{command}, args, u.hostArgs(), u.faultArgs(name)),
		Env:      lab.Environ(append(append(os.Environ(), u.container.ChildEnv()...), envControl+"="+u.control), name, otlp),
		Listener: u.at[at], ReadyURL: u.at.URL(at) + "/readyz",
		Stdout: func(r io.Reader) error { return s.ReadLog(name, r) }, Stderr: u.env.stderr, Notify: u.report.Children(),
	})
	if err != nil {
		return lab.Part{}, err
	}
	return lab.ServicePart(name, u.at.URL(at), c), nil
}

// explorer makes the lab's own explorer. Its checks look at what the lab runs, and
// their traffic generator sends its spans where the services do.
func (u upLab) explorer(otlp lab.OTLP) (http.Handler, *quest.Engine, error) {
	backends := u.Backends
	checks := checkFlags{RollerURL: u.url(rollerAt), Mode: modeGuessed, StackConfig: u.Native.StackConfig}
	if u.Stack != stackNone {
		backends.PrometheusURL, backends.LokiURL = u.url(stack.Prometheus), u.url(stack.Loki)
		backends.TempoURL = u.url(stack.Tempo)
		checks.Mode = u.Stack // their modes have the names of the stacks
	}
	if u.Stack == stackNative {
		checks.AlloyURL = u.url(stack.Alloy)
	}
	o := checks.options(u.url(frontendAt), &backends)
	o.Traffic = simulate(o.Frontend, lab.Environ(os.Environ(), contract.ServiceTraffic, otlp))
	c, err := newExplorerChecks(o, "look at what dicelab up says of the front end", serversOf(o))
	if err != nil {
		return nil, nil, err
	}
	if o.Mode != "" {
		c.modeWhy = "as dicelab up runs it"
	}
	var senders cli.URL // the embedded stack alone has a list of them
	if u.Stack == stackEmbedded {
		senders = u.url(stack.OTLPHTTP)
	}
	quests, err := u.quests(o, &backends, c)
	if err != nil {
		return nil, nil, err
	}
	explorer, err := backends.explorer(u.url(frontendAt), senders, u.BasePath, c, quests)
	return explorer, quests, err
}

// quests makes the quests, whose journals and token are in the data directory.
func (u upLab) quests(o verify.Options, b *backendFlags, c *explorerChecks) (*quest.Engine, error) {
	if err := os.WriteFile(u.dir.Join(quest.TokenFile), []byte(u.control+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the token for quests: %w", err)
	}
	prometheus, loki, tempo, err := b.clients()
	if err != nil {
		return nil, err
	}
	return quest.New(quest.Options{
		Tempo: tempo, Loki: loki, Prometheus: prometheus, Frontend: o.Frontend, Roller: o.Roller, Token: u.control,
		Dir: u.dir.Join("quests"), Version: version(),
		Check: func(ctx context.Context) (checklist.Report, error) {
			return c.Run(ctx, "", func(checklist.Start) {}, func(checklist.Result) {})
		},
	})
}

func (u upLab) url(name string) cli.URL { return cli.URL(u.at.URL(name)) }
