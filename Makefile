# dicelab. "make help" lists the targets.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
CHROMIUM    := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome || true)
BIN         := bin/dicelab

# SERVERS=DIR names the folder of the real servers' programs.
SERVERS_FLAG = $(if $(SERVERS),--servers $(abspath $(SERVERS)))
SERVERS_TEST = $(if $(SERVERS),-servers $(abspath $(SERVERS)))

.DEFAULT_GOAL := help
.PHONY: help run build licences dashboards stack image compose-up compose-down compose-verify compose-tool test test-stack conformance test-compose test-deps bench check fmt vet lint tidy vulnerabilities clean go-version

# Docker's plugin, or the one that compose-tool builds.
COMPOSE_RELEASE = $$($(GO) -C tools/compose list -m -f '{{.Version}}' github.com/docker/compose/v2)
COMPOSE      = $$(docker compose version >/dev/null 2>&1 && echo docker compose || echo $(CURDIR)/bin/docker-compose)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build and start the lab; then open http://localhost:8102
	@exec $(BIN) up

build: go-version ## build bin/dicelab; about 4 minutes the first time, seconds after that
	@echo "[1/2] fetching modules (needed once)"
	@total=$$($(GO) list -deps ./cmd/dicelab | wc -l); \
	echo "[2/2] compiling up to $$((total)) packages (only what has changed)"; \
	$(GO) build -v -o $(BIN) ./cmd/dicelab 2>&1 | awk '/^[a-z]+[.a-z]*\// || /^[a-z]+$$/ { if (++n % 100 == 0) { print "      " n " compiled"; fflush() } next } { print; fflush() }'

licences: go-version ## write the licence texts of all that is linked in, to go wherever the program goes
	@mkdir -p bin
	$(GO) run ./internal/licences > bin/THIRD-PARTY-LICENSES

stack: build ## start the lab on the real servers: those of PATH or SERVERS=DIR, else in containers
	@if [ -n "$(SERVERS)" ] || $(BIN) servers >/dev/null 2>&1; then exec $(BIN) up --stack=native $(SERVERS_FLAG); \
	elif docker info >/dev/null 2>&1; then echo "The real servers are not all on this machine (bin/dicelab servers lists them): starting containers."; exec $(MAKE) compose-up; \
	else exec $(BIN) servers; fi

dashboards: go-version ## write Grafana's dashboard and docs/dashboard.md anew, from Go
	$(GO) test ./internal/grafana -run TestCommittedFilesAreCurrent -count 1 -update

image compose-up: export DICELAB_REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
image: compose-tool ## build the container image "dicelab"
	@$(COMPOSE) build probe

compose-up: compose-tool ## the lab in containers, on the real servers
	@$(COMPOSE) build probe
	@$(COMPOSE) up --detach --wait
	@echo "Roll a die:  http://localhost:$${DICELAB_FRONTEND_PORT:-8102}"; echo "Explore:     http://localhost:$${DICELAB_EXPLORER_PORT:-8100}"; echo "Grafana:     http://localhost:$${DICELAB_GRAFANA_PORT:-3000}"

compose-down: compose-tool ## take the containers down; what they have stored stays
	@COMPOSE_PROFILES=traffic $(COMPOSE) down

compose-verify: build ## run the checklist against the containers
	@exec $(BIN) verify --mode compose

# Many tests wait for telemetry, not for a processor. They start this program
# hundreds of times, and the race detector sleeps a second at each exit by default.
# They are compiled beforehand, and run one package after another: some look at memory and
# at timeouts, which the compiler, or the load that another test makes, would upset.
test: export GORACE = atexit_sleep_ms=0
test: test-deps ## run every test with the race detector
	$(GO) test -race -run '^$$' ./... > /dev/null
	$(GO) test -race -p 1 -parallel 4 -timeout 30m ./...

test-stack: build ## run the tests of the real servers (Linux): those of PATH or SERVERS=DIR
	$(GO) vet -tags stack ./internal/stacktest
	$(GO) test -tags stack -count 1 -parallel 4 -timeout 30m -v ./internal/stacktest -dicelab $(CURDIR)/$(BIN) $(SERVERS_TEST)

conformance: build ## record anew what the real servers answer to the list of queries in internal/embedded/conformance
	$(GO) test -tags stack -count 1 -timeout 10m -v ./internal/stacktest -run TestConformance -dicelab $(CURDIR)/$(BIN) $(SERVERS_TEST) -update

bench: build ## measure speed and size into bench/RESULTS.md, about 3 minutes (LONG=1: 5 million spans, about 15); needs wrk
	@$(GO) build -o bin/bench ./bench
	@exec bin/bench -dicelab $(BIN) $(if $(LONG),-long) $(if $(PARTS),-parts $(PARTS)) $(SERVERS_TEST)

test-compose: go-version compose-tool ## run the tests of the containers (Linux, root); images that cannot be pulled are made of the servers of PATH or SERVERS=DIR
	$(GO) vet -tags compose ./internal/composetest
	$(GO) test -tags compose -count 1 -timeout 30m -v ./internal/composetest -compose "$(COMPOSE)" $(SERVERS_TEST)

check: fmt vet lint tidy vulnerabilities ## formatting, vet, linters, tidy modules, known vulnerabilities

fmt:
	@bad=$$(gofmt -l bench cmd internal stack); [ -z "$$bad" ] || { echo "not formatted; run gofmt -w on:"; echo "$$bad"; exit 1; }

vet: go-version
	$(GO) vet ./...

lint: go-version
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) tool -modfile=tools/go.mod depguard ./...

tidy: go-version
	$(GO) mod tidy -diff
	$(GO) -C tools mod tidy -diff

# govulncheck's status is 1 where it could not look, and 3 where it has found one.
vulnerabilities: go-version
	@found=$$($(GO) tool -modfile=tools/go.mod govulncheck ./cmd/dicelab 2>&1) && status=0 || status=$$?; \
	if [ $$status = 1 ] && grep -q 'fetching vulnerabilities' <<<"$$found"; then \
		echo "not checked for known vulnerabilities: https://vuln.go.dev cannot be reached"; \
	elif [ $$status != 0 ]; then echo "$$found"; exit $$status; fi

clean: ## remove what was built; the data directory stays
	rm -rf bin

# An older Go gets one clear line, not a page of compiler errors.
go-version:
	@command -v $(GO) >/dev/null || { echo "dicelab needs Go 1.26.7 or newer: install it from https://go.dev/dl/"; exit 1; }
	@$(GO) mod edit -json >/dev/null 2>&1 && $(GO) list -m >/dev/null 2>&1 || { echo "dicelab needs Go 1.26.7 or newer, this is $$($(GO) env GOVERSION 2>/dev/null || $(GO) version): install a newer one from https://go.dev/dl/"; exit 1; }

# Compose 2.20 or newer is asked for: older ones do not know "include".
compose-tool: go-version
	@docker info >/dev/null 2>&1 || { echo "no Docker Engine answers: install one from https://docs.docker.com/engine/install/, or start it"; exit 1; }
	@docker compose version >/dev/null 2>&1 || [ -x bin/docker-compose ] || { \
		echo "building Docker Compose $(COMPOSE_RELEASE): Docker has no such plugin here"; \
		$(GO) -C tools/compose build -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$(COMPOSE_RELEASE)" -o $(CURDIR)/bin/docker-compose github.com/docker/compose/v2/cmd; }

# What the tests need besides Go: a C compiler for the race detector, Chromium
# for the pages, the shells that complete commands.
test-deps: go-version
	@command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || { echo "the race detector needs a C compiler; on Debian: apt-get install gcc libc6-dev"; exit 1; }
	@if [ -z "$(CHROMIUM)" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing chromium for the page tests"; \
			{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >/tmp/dicelab-apt.log 2>&1 \
				|| { tail -5 /tmp/dicelab-apt.log; echo "installing chromium failed; the page tests need it"; exit 1; }; \
		else echo "the page tests need Chromium; on Debian: sudo apt-get install chromium"; exit 1; fi; \
	fi
	@if ! command -v bash >/dev/null || ! command -v zsh >/dev/null || ! command -v fish >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing zsh and fish for the tests of completion"; \
			{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bash zsh fish; } >/tmp/dicelab-apt.log 2>&1 \
				|| { tail -5 /tmp/dicelab-apt.log; echo "installing zsh and fish failed; the tests of completion need them"; exit 1; }; \
		else echo "the tests of completion need bash, zsh and fish; on Debian: sudo apt-get install zsh fish"; exit 1; fi; \
	fi
