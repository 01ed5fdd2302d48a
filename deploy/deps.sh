#!/usr/bin/env bash
# Installs what building (`run`) and testing (`test`) kura needs beyond Rust, on Debian and its kin.
# What is there already is left alone; without root or sudo it says what is missing.
set -euo pipefail

declare -A package=([cc]=build-essential [python3]=python3 [curl]=curl)
commands=(cc python3 curl)
missing=()
for command in "${commands[@]}"; do
	command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ "${1:-run}" = test ]; then
	# Peers of the tests of sources.
	command -v git >/dev/null || missing+=(git)
	[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx-light)
	[ -x /usr/sbin/dovecot ] || missing+=(dovecot-imapd)
	command -v openssl >/dev/null || missing+=(openssl)
	command -v chromium >/dev/null || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
	# Not `grep -q`: it ends early, and the pipe that breaks then counts as a failure.
	fc-list 2>/dev/null | grep -i cjk >/dev/null || missing+=(fontconfig fonts-noto-cjk)
	# Proof that nothing leaves needs root for network namespaces; without it those tests say that they did not run.
	if [ "$(id -u)" -eq 0 ]; then
		[ -x /usr/sbin/nft ] || command -v nft >/dev/null || missing+=(nftables)
		[ -x /usr/sbin/ip ] || command -v ip >/dev/null || missing+=(iproute2)
		command -v strace >/dev/null || missing+=(strace)
	fi
	# Power cuts need root and devices that not every machine gives; without them that test says that it did not run.
	if [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] && [ -e /dev/loop-control ]; then
		command -v nbdkit >/dev/null || missing+=(nbdkit)
		command -v nbdfuse >/dev/null || missing+=(libnbd-bin)
		command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
	fi
fi
if [ ${#missing[@]} -gt 0 ]; then
	run=()
	[ "$(id -u)" -eq 0 ] || run=(sudo)
	if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; }; then
		echo "missing: ${missing[*]}; install them and run again" >&2
		exit 1
	fi
	echo "installing ${missing[*]}" >&2
	"${run[@]}" apt-get update -qq
	DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi
if ! command -v cargo >/dev/null; then
	echo "missing: Rust 1.95 or newer (rustup.rs)" >&2
	exit 1
fi
