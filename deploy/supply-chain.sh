#!/usr/bin/env bash
# What kura is made of: `check` (licenses, bans, sources; known vulnerabilities if KURA_ADVISORY_DB names a copy of the
# RustSec database, a folder or its archive), `sbom` (CycloneDX, into target/sbom), `release` (a binary with the list of its
# crates inside). The tools are installed at the first run, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
tools=${KURA_TOOLS_DIR:-$target/tools}
export PATH="$tools/bin:$PATH"

# tool NAME [OPTIONS...]: installs a cargo subcommand unless it is there.
tool() {
	local name=$1
	shift
	command -v "$name" >/dev/null && return
	echo "installing $name into $tools" >&2
	CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" "$@" "$name"
}

check() {
	tool cargo-deny
	cargo deny --offline --workspace check licenses bans sources
	if [ -z "${KURA_ADVISORY_DB:-}" ]; then
		echo "NOT CHECKED: known vulnerabilities; name a copy of the RustSec database with KURA_ADVISORY_DB" >&2
		return
	fi
	advisories "$KURA_ADVISORY_DB"
}

advisories() {
	local db=$1 unpacked
	# One that is found where it is called from, not here.
	[ -e "$db" ] || { echo "KURA_ADVISORY_DB: there is no \`$db\`" >&2; return 1; }
	if [ -f "$db" ]; then
		unpacked=$(mktemp -d)
		# shellcheck disable=SC2064
		trap "rm -rf '$unpacked'" EXIT
		tar -xf "$db" -C "$unpacked"
		db=$(dirname "$(find "$unpacked" -maxdepth 2 -type d -name crates | head -n 1)")
	fi
	[ -d "$db/crates" ] || { echo "KURA_ADVISORY_DB: \`$db\` has no folder \`crates\`" >&2; return 1; }
	echo "advisories up to $(find "$db/crates" -name 'RUSTSEC-*.md' -printf '%f\n' | sort | tail -n 1)" >&2
	tool cargo-audit
	# Settings and exceptions, with reasons, are in .cargo/audit.toml.
	cargo audit --no-fetch --stale --db "$db"
	local binary=$target/release-auditable/kura
	[ ! -x "$binary" ] || cargo audit --no-fetch --stale --db "$db" bin "$binary"
}

sbom() {
	local out=$target/sbom
	mkdir -p "$out"
	tool cargo-cyclonedx
	# It writes beside each manifest.
	cargo cyclonedx --quiet --format json --spec-version 1.5 --all-features --override-filename kura-sbom --manifest-path server/Cargo.toml
	mv server/kura-sbom.json "$out/kura.cdx.json"
	find . -name kura-sbom.json -not -path "./$target/*" -delete
	(cd web && npm sbom --sbom-format cyclonedx --package-lock-only --omit dev) >"$out/web.cdx.json"
	for file in kura web; do
		python3 - "$out/$file.cdx.json" <<'PY'
import json, sys
bom = json.load(open(sys.argv[1]))
assert bom["bomFormat"] == "CycloneDX" and bom["components"], sys.argv[1]
print(f'{sys.argv[1]}: CycloneDX {bom["specVersion"]}, {len(bom["components"])} components')
PY
	done
}

release() {
	tool cargo-auditable
	cargo auditable build --release --locked --package kura --bin kura
	install -D -m 0755 "$target/release/kura" "$target/release-auditable/kura"
	echo "$target/release-auditable/kura"
}

case "${1:-}" in
check | sbom | release) "$1" ;;
*)
	echo "usage: $0 check|sbom|release" >&2
	exit 2
	;;
esac
