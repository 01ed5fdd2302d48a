#!/usr/bin/env bash
# Runs the official clients against the real binary, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")"
venv=$(./venv.sh)
: "${KURA_BIN:?is not set; run this through make test}" "${KURA_MODELS_DIR:?is not set; run this through make test}"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@" .
