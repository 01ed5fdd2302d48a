#!/usr/bin/env bash
# fuzz.sh [SECONDS] [PARSER...]: feeds kura's own parsers made-up files, so many seconds each (60), two at a time.
# What breaks a parser is kept and named. Inputs that reached something new are kept for the next run.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
[ $# -gt 0 ] && parsers=("$@") || parsers=(rtf rst asciidoc markdown html csv data source mail mbox pdf docx pptx odf binary)
target=${CARGO_TARGET_DIR:-target}
home=$target/fuzz

# Only kura's own crates are watched, so all others are those of `cargo build --release`.
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz-rustc.sh cargo build --release --workspace --example fuzz --features kura-tests/fuzz || exit 1
binary=$target/release/examples/fuzz

# seed PARSER FILE...: what is known to be sound.
seed() {
	local into=$home/seeds/$1
	shift
	mkdir -p "$into"
	for file in "$@"; do [ -f "$file" ] && cp "$file" "$into/"; done
}
samples=tests/fixtures/handbook
seed markdown $samples/*.md README.md
seed asciidoc $samples/*.md
seed rst $samples/*.md
seed html $samples/*.html
seed csv $samples/*.csv
seed mail $samples/*.eml
seed mbox $samples/*.eml
seed pdf $samples/*.pdf
for parser in rtf data source docx pptx odf binary; do seed "$parser" tests/fixtures/fuzz/"$parser"/*; done

fuzz() {
	local parser=$1 log=$home/$1.log
	mkdir -p "$home/found/$parser" "$home/broke/$parser"
	# The stack is that of the guard's thread.
	(ulimit -s 262144 && KURA_FUZZ_PARSER=$parser "$binary" "$home/found/$parser" "$home/seeds/$parser" \
		-max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$home/broke/$parser/") >"$log" 2>&1
	local status=$? runs coverage
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
	if [ $status -eq 0 ]; then
		printf '%-10s passed: %s inputs, %s\n' "$parser" "${runs:-?}" "$coverage"
	else
		printf '%-10s failed (%s): see %s and %s\n' "$parser" "$status" "$log" "$home/broke/$parser"
		grep -m1 -A2 'panicked at\|ERROR: libFuzzer' "$log"
		return 1
	fi
}

failed=0
for ((at = 0; at < ${#parsers[@]}; at += 2)); do
	fuzz "${parsers[at]}" &
	first=$!
	if [ $((at + 1)) -lt ${#parsers[@]} ]; then
		fuzz "${parsers[at + 1]}" || failed=$((failed + 1))
	fi
	wait $first || failed=$((failed + 1))
done
printf '%d parsers passed, %d parsers failed\n' $((${#parsers[@]} - failed)) "$failed"
[ "$failed" -eq 0 ]
