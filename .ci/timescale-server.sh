#!/usr/bin/env bash
# Start or stop one throw-away TimescaleDB server from the tree of timescale-tree.sh.
#
#   .ci/timescale-server.sh start CACHE     prints an administrator's URL; tests make their databases with it
#   .ci/timescale-server.sh stop URL        stops that server and removes its data
#
# Every start has a fresh data folder and a free port, so several may run side by side. Nothing in the
# data is worth keeping: it survives a killed process, not a power failure (fsync is off).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=/usr/lib/postgresql/17/bin
registry=${TMPDIR:-/tmp}/fleet-ci-timescale.$(id -u)

inside() { # run a command as the server's user in the tree
  local root=$1
  shift
  chroot --userspec="$(stat -c %u:%g "$root/var/lib/postgresql")" "$root" \
    env -i PATH="$bin:/usr/bin:/bin" LANG=C.UTF-8 "$@"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  local root data port url
  root=$("$here/timescale-tree.sh" "$1")
  port=$(free_port)
  data=/var/lib/postgresql/fleet-ci-$port
  rm -rf "$root$data"
  inside "$root" sh -c "umask 077; echo fleet > /var/lib/postgresql/fleet-ci-$port.password"
  inside "$root" initdb -D "$data" -U fleet -E UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
    --pwfile="$data.password" --no-sync > /dev/null
  inside "$root" tee -a "$data/postgresql.conf" > /dev/null <<SETTINGS
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb'
timescaledb.license = 'apache'
timescaledb.telemetry_level = off
# No scheduler: it would sit in every database and keep it from serving as a template; Apache has no jobs.
timescaledb.max_background_workers = 0
jit = off
fsync = off
shared_buffers = 256MB
max_connections = 100
timezone = 'UTC'
log_min_messages = warning
SETTINGS
  inside "$root" pg_ctl -D "$data" -l "$data.log" -w -t 30 -s start > /dev/null 2>&1 < /dev/null ||
    { cat "$root$data.log" >&2; exit 1; }
  url=postgresql://fleet:fleet@127.0.0.1:$port/postgres
  mkdir -p "$registry"
  printf '%s\n%s\n' "$root" "$data" > "$registry/$port"
  echo "$url"
}

stop() {
  local port root data
  port=$(sed -E 's|.*:([0-9]+)/.*|\1|' <<< "$1")
  { read -r root && read -r data; } < "$registry/$port"
  inside "$root" pg_ctl -D "$data" -m immediate -w -t 30 -s stop || true
  rm -rf "$root$data" "$root$data.password" "$root$data.log" "$registry/$port"
}

case "${1:-} ${2:-}" in
  'start '?*) start "$2" ;;
  'stop '?*) stop "$2" ;;
  *) echo 'usage: timescale-server.sh start CACHE | stop URL' >&2; exit 2 ;;
esac
