#!/usr/bin/env bash
# CPU of the traffic generator per roll, beside vegeta's own command: the same
# dice roller, the same rate, one after the other, in rounds.
#
#   bench/traffic.sh [RATE [SECONDS [ROUNDS]]]
#
# Spans go to OTEL_EXPORTER_OTLP_ENDPOINT; give it something that only takes them.
set -euo pipefail
rate=${1:-1000} seconds=${2:-10} rounds=${3:-3}
: "${OTEL_EXPORTER_OTLP_ENDPOINT:?say where spans go}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tmp=$(mktemp -d)
trap 'kill "${roller:-}" 2>/dev/null || true; rm -rf "$tmp"' EXIT

version=$(go list -m -f '{{.Version}}' github.com/tsenart/vegeta/v12)
GOBIN=$tmp go install "github.com/tsenart/vegeta/v12@$version"
go build -o "$tmp/dicelab" ./cmd/dicelab

"$tmp/dicelab" roller --addr 127.0.0.1:0 --max-delay 0s --error-rate 0 >"$tmp/roller.log" &
roller=$!
until url=$(sed -n 's/.*"Dice roller started".*"url":"\([^"]*\)".*/\1/p' "$tmp/roller.log") && [ -n "$url" ]; do sleep 0.1; done

# spent NAME COMMAND... says what CPU the command took for each roll.
spent() {
	local name=$1 TIMEFORMAT='%U %S'
	shift
	{ time "$@" >"$tmp/report" 2>&1; } 2>&1 |
		awk -v name="$name" -v rolls=$((rate * seconds)) '{ printf "%-22s %6.1f µs of CPU a roll\n", name, ($1 + $2) * 1e6 / rolls }'
}
generate() { "$tmp/dicelab" traffic --target roller --roller-url "$url" --die fair --rate "$rate/s" --duration "${seconds}s" --log none; }
vegeta() { echo "GET $url/roll?die=fair" | "$tmp/vegeta" attack -rate "$rate" -duration "${seconds}s" -output /dev/null; }
unobserved() { OTEL_SDK_DISABLED=true generate; }

for round in $(seq "$rounds"); do
	echo "round $round, $rate rolls a second for $seconds s"
	spent "vegeta $version" vegeta
	spent "traffic without spans" unobserved
	spent "traffic with spans" generate
done
