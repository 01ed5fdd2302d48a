#!/usr/bin/env bash
# Runs official clients, and real identity providers, against the real binary, in a virtual environment of their own.
set -euo pipefail
cd "$(dirname "$0")"
venv=$(./venv.sh)
# shellcheck source=../../deploy/node.sh
. ../../deploy/node.sh
[ -d node_modules ] && [ "$(cat node_modules/.stamp 2>/dev/null)" = "$(sha256sum <package-lock.json)" ] || {
	npm ci --no-audit --no-fund
	sha256sum <package-lock.json >node_modules/.stamp
}
: "${KURA_BIN:?is not set; run this through make test}" "${KURA_MODELS_DIR:?is not set; run this through make test}"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@" .
