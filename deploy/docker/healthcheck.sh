#!/bin/bash
# Exits with 0 if kura answers GET /healthz with 200. The image has no curl; bash can open the connection.
set -eu

address="${KURA__SERVER__LISTEN:-127.0.0.1:8080}"
host="${address%:*}"
port="${address##*:}"
host="${host#[}"
host="${host%]}"

exec 3<>"/dev/tcp/${host}/${port}"
printf 'GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "${address}" >&3
read -r -t 4 _ status _ <&3
[ "${status}" = 200 ]
