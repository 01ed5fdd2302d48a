#!/usr/bin/env bash
# Every test of kura, phase by phase; the last line sums them up. A phase that cannot run counts as failed.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp -d)
passed=0
failed=0

# phase NAME PATTERN-OF-PASSED PATTERN-OF-FAILED COMMAND...: patterns are extended regular expressions that end in the number.
phase() {
	local name=$1 ok=$2 bad=$3
	shift 3
	printf '\n== %s\n' "$name"
	"$@" 2>&1 | tee "$log/$name"
	local status=${PIPESTATUS[0]} n_ok n_bad
	n_ok=$(sum "$ok" "$log/$name")
	n_bad=$(sum "$bad" "$log/$name")
	[ "$status" -ne 0 ] && [ "$n_bad" -eq 0 ] && n_bad=1
	[ "$status" -eq 0 ] && [ "$n_ok" -eq 0 ] && { echo "phase $name ran no test" >&2; n_bad=1; }
	passed=$((passed + n_ok))
	failed=$((failed + n_bad))
}

sum() {
	sed 's/\x1b\[[0-9;]*m//g; s/^/ /' "$2" | sed -nE "s/.*$1.*/\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

# Servers that sources are tested against are in it, too.
KURA_TEST_VENV=$(tests/clients/venv.sh) && export KURA_TEST_VENV
phase rust 'test result:.* ([0-9]+) passed' 'test result:.* ([0-9]+) failed' cargo test --release --workspace --no-fail-fast
phase fuzz '([0-9]+) parsers passed' '([0-9]+) parsers failed' tests/fuzz.sh 60
phase page 'Tests .*[^0-9]([0-9]+) passed' 'Tests .*[^0-9]([0-9]+) failed' deploy/web.sh test
phase clients '[^0-9]([0-9]+) passed' '[^0-9]([0-9]+) failed' tests/clients/run.sh
phase browser 'ℹ pass ([0-9]+)' 'ℹ fail ([0-9]+)' tests/browser/run.sh

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
