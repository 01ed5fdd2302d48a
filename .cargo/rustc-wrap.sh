#!/bin/sh
# qdrant-edge 0.9.0 uses one library feature (`assert_matches`) that is stable only from Rust 1.97.
# On an older compiler this lets that one crate, and no other, use it. Remove with the move to 1.97.
rustc="$1"
shift
case " $* " in
*" --crate-name qdrant_edge "*)
	minor=$("$rustc" -V | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
	if [ "${minor:-99}" -lt 97 ]; then
		RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" "-Zcrate-attr=feature(assert_matches)"
	fi
	;;
esac
exec "$rustc" "$@"
