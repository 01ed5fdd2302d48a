#!/usr/bin/env bash
# Starts the real binary on free loopback ports: with its models for what a person does in its page; without a generator for
# who may do what there, and for what must not come to life there.
# KURA_TEST_BROWSER names the suites to run, `chat`, `people` and `attacks`; all when absent.
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
export KURA_FIXTURE_PDF="$PWD/../fixtures/handbook/quality-manual.pdf"

stop() {
	[ -n "${server:-}" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	rm -rf "${KURA_DATA_DIR:-}"
	server=""
}
trap stop EXIT

# serve [SETTING=VALUE...]: starts kura with a new data directory, and says how to reach it.
serve() {
	KURA_DATA_DIR=$(mktemp -d)
	# The key of the suite before.
	unset KURA_API_KEY
	local log="$KURA_DATA_DIR/server.log"
	env "$@" "$KURA_BIN" --data-dir "$KURA_DATA_DIR" serve --listen 127.0.0.1:0 2>"$log" &
	server=$!
	for _ in $(seq 600); do
		KURA_URL=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$log" || true)
		[ -n "$KURA_URL" ] && break
		kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
		sleep 0.2
	done
	KURA_API_KEY=$(grep -om1 'kura_[A-Za-z0-9_-]\{43\}' "$log")
	export KURA_DATA_DIR KURA_URL KURA_API_KEY
}

status=0
for suite in ${KURA_TEST_BROWSER:-chat people attacks}; do
	case $suite in
	chat) serve && specs=(chat.spec.mjs) ;;
	people) serve KURA__MODELS__GENERATOR= && specs=(people.spec.mjs) ;;
	attacks) serve KURA__MODELS__GENERATOR= && specs=(control.spec.mjs output.spec.mjs) ;;
	*) echo "KURA_TEST_BROWSER names $suite; known are chat, people and attacks" >&2 && exit 2 ;;
	esac
	npm test -- "${specs[@]}" || status=1
	stop
done
exit "$status"
