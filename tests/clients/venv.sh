#!/usr/bin/env bash
# Makes the tests' virtual environment, or brings it up to date; prints its folder.
set -euo pipefail
cd "$(dirname "$0")"
venv="${KURA_TEST_VENV:-$HOME/.cache/kura/test-venv}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
if ! cmp -s requirements.txt "$venv/requirements.txt"; then
	"$venv/bin/pip" install --quiet --requirement requirements.txt >&2
	cp requirements.txt "$venv/requirements.txt"
fi
echo "$venv"
