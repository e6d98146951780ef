#!/usr/bin/env bash
# Creates a folder with Debian, its Python and systemd: the base of the image test, which needs no image registry, and the
# machine for the systemd unit's test.
# usage: make-base.sh [CACHE]      CACHE defaults to $GOODWATT_CACHE, then ~/.cache/goodwatt. About a minute, once.
set -euo pipefail

SUITE=bookworm
PACKAGES=python3,python3-venv,ca-certificates,systemd,systemd-sysv,dbus

cache=${1:-${GOODWATT_CACHE:-$HOME/.cache/goodwatt}}
base=$cache/debian-python
mkdir -p "$cache"
exec 9> "$cache/debian-python.lock"
flock 9
[ "$(cat "$base/.complete" 2>/dev/null)" = "$SUITE $PACKAGES" ] && exit 0
echo "make-base: Debian $SUITE with Python and systemd into $base (log: $cache/debian-python.log)"
rm -rf "${base:?}"
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$base" > "$cache/debian-python.log" 2>&1 ||
    { tail -n 3 "$cache/debian-python.log" >&2; exit 1; }
ln -s python3 "$base/usr/bin/python"
rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
printf '%s' "$SUITE $PACKAGES" > "$base/.complete"
