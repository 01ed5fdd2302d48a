#!/usr/bin/env bash
# Starts the real binary with real models on a free loopback port, and walks through its page in Chromium.
set -euo pipefail
cd "$(dirname "$0")"
: "${KURA_BIN:?is not set; run this through make test}" "${KURA_MODELS_DIR:?is not set; run this through make test}"
# shellcheck source=../../deploy/node.sh
. ../../deploy/node.sh
export KURA__MODELS__DIR="$KURA_MODELS_DIR"
[ -d node_modules ] && [ "$(cat node_modules/.stamp 2>/dev/null)" = "$(sha256sum <package-lock.json)" ] || {
	npm ci --no-audit --no-fund
	sha256sum <package-lock.json >node_modules/.stamp
}

data=$(mktemp -d)
"$KURA_BIN" --data-dir "$data" serve --listen 127.0.0.1:0 2>"$data/server.log" &
server=$!
stop() {
	kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "$data"
}
trap stop EXIT
for _ in $(seq 600); do
	KURA_URL=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$data/server.log" || true)
	[ -n "$KURA_URL" ] && break
	kill -0 "$server" 2>/dev/null || { cat "$data/server.log" >&2; exit 1; }
	sleep 0.2
done
KURA_API_KEY=$(grep -om1 'kura_[A-Za-z0-9_-]\{43\}' "$data/server.log")
export KURA_URL KURA_API_KEY
KURA_FIXTURE_PDF="$PWD/../fixtures/handbook/quality-manual.pdf" npm test
