#!/usr/bin/env bash
# Runs the official clients against the real binary, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")"
venv="${KURA_TEST_VENV:-$HOME/.cache/kura/test-venv}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
if ! cmp -s requirements.txt "$venv/requirements.txt"; then
	"$venv/bin/pip" install --quiet --requirement requirements.txt
	cp requirements.txt "$venv/requirements.txt"
fi
: "${KURA_BIN:?is not set; run this through make test}" "${KURA_MODELS_DIR:?is not set; run this through make test}"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider .
