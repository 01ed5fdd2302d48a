#!/usr/bin/env bash
# Builds the page into web/dist, if its sources changed. With arguments, runs these npm scripts afterwards.
set -euo pipefail
cd "$(dirname "$0")/../web"
# shellcheck source=node.sh
. ../deploy/node.sh

[ -d node_modules ] && [ "$(cat node_modules/.stamp 2>/dev/null)" = "$(sha256sum <package-lock.json)" ] || {
	npm ci --no-audit --no-fund
	sha256sum <package-lock.json >node_modules/.stamp
}
stamp=$(find src index.html package-lock.json vite.config.ts tsconfig.json -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
[ "$(cat dist/.stamp 2>/dev/null)" = "$stamp" ] || {
	npm run build
	echo "$stamp" >dist/.stamp
}
for script in "$@"; do
	npm run "$script"
done
