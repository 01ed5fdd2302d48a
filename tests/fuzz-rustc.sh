#!/bin/sh
# The compiler of tests/fuzz.sh (RUSTC_WORKSPACE_WRAPPER): has libFuzzer see which code of the parsers an input reaches,
# and has that code check its arithmetic.
case " $* " in
*" --crate-name kura_indexer "* | *" --crate-name fuzz "*)
	exec "$@" --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
		-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
	;;
esac
exec "$@"
