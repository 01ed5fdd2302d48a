#!/usr/bin/env bash
# The demo: index the sample handbook, answer one English and one Japanese question, leave the server up.
# Everything lies in .kura/ of the checkout; `deploy/demo.sh stop` ends the server.
set -euo pipefail
cd "$(dirname "$0")/.."
kura="${KURA_BIN:?}"
data="$PWD/.kura"
listen="${KURA_DEMO_LISTEN:-127.0.0.1:8080}"
pid_file="$data/demo.pid"
export KURA__MODELS__DIR="${KURA_MODELS_DIR:?}"

running() {
	[ -f "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null && curl -fsS -o /dev/null "http://$listen/healthz" 2>/dev/null
}

stop() {
	[ -f "$pid_file" ] || return 0
	pid=$(cat "$pid_file")
	if [ "$(readlink -f "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$kura")" ]; then
		kill "$pid"
		for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	elif kill -0 "$pid" 2>/dev/null; then
		# Another build's server, or a number that another process has by now.
		echo "process $pid is not $kura; it was left alone" >&2
	fi
	rm -f "$pid_file"
}

start() {
	umask 077
	mkdir -p "$data"
	# A server of an older build is replaced.
	if running && [ "$kura" -nt "$pid_file" ]; then stop; fi
	if ! running; then
		nohup "$kura" --data-dir "$data" serve --listen "$listen" >>"$data/server.log" 2>&1 &
		echo $! >"$pid_file"
		for _ in $(seq 300); do
			curl -fsS -o /dev/null "http://$listen/readyz" 2>/dev/null && break
			kill -0 "$(cat "$pid_file")" 2>/dev/null || { tail -n 20 "$data/server.log" >&2; exit 1; }
			sleep 0.2
		done
		# The first start prints the admin key, once.
		key=$(grep -o 'kura_[A-Za-z0-9_-]\{43\}' "$data/server.log" | head -n 1 || true)
		if [ -n "$key" ] && [ ! -f "$data/demo.key" ]; then printf '%s\n' "$key" >"$data/demo.key"; fi
	fi
	"$kura" --data-dir "$data" ingest tests/fixtures/handbook --collection handbook
	for question in "How much money do I get each month for working from home?" "VPNで 0x80070005 というエラーが出たらどうすればいいですか。"; do
		printf '\n? %s\n' "$question"
		"$kura" --data-dir "$data" ask "$question" --collection handbook
	done
	printf '\nkura is up at http://%s\n' "$listen"
	if [ -f "$data/demo.key" ]; then
		printf 'API key: %s\n' "$(cat "$data/demo.key")"
	fi
	printf 'Stop it with: make stop\n'
}

case "${1:-start}" in
start) start ;;
stop) stop ;;
*) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
