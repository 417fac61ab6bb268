#!/usr/bin/env bash
# Make a private tree with PostgreSQL 17 and TimescaleDB (Apache edition), and print its root folder.
#
#   .ci/timescale-tree.sh CACHE
#
# Debian 13 has both as packages: they are installed and "/" is printed. Debian 12 has not: Debian 13's
# packages are unpacked into CACHE/timescale-17, which takes some ten seconds and 200 MB; the machine's own
# packages stay as they are. A finished tree is used again. Needs root (chroot, device nodes).
set -euo pipefail

cache=${1:?usage: timescale-tree.sh CACHE}
root=$cache/timescale-17
packages=(base-files dash coreutils libc-bin tzdata postgresql-17 postgresql-17-timescaledb)

say() { printf 'timescale-tree: %s\n' "$*" >&2; }

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
if [ "$codename" = trixie ]; then
  if [ ! -e /usr/share/postgresql/17/extension/timescaledb.control ]; then
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/fleet-ci.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      postgresql-17 postgresql-17-timescaledb >&2
  fi
  echo /
  exit 0
fi

if [ -e "$root/.complete" ]; then
  echo "$root"
  exit 0
fi

[ "$(id -u)" = 0 ] || { say "needs root to make the tree"; exit 2; }
[ -n "$codename" ] || { say "this is not Debian: no VERSION_CODENAME in /etc/os-release"; exit 2; }
say "making $root"
rm -rf "$root"
work=$root/.apt
mkdir -p "$work"/{lists/partial,cache/archives/partial}
: > "$work/status"

mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $codename" | sort -u | head -n 1)
[ -n "$mirror" ] || { say "apt knows no mirror for $codename: run apt-get update"; exit 2; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$work/sources.list"
options=(-qq -y
  -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
  -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache"
  -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
apt-get "${options[@]}" update >&2
apt-get "${options[@]}" --no-install-recommends --download-only install "${packages[@]}" >&2

# base-files first: it makes the links from /bin and /lib into /usr. What a server needs not is left out.
dpkg-deb -x "$work"/cache/archives/base-files_*.deb "$root"
for package in "$work"/cache/archives/*.deb; do
  case ${package##*/} in
    base-files_* | libllvm* | perl* | libperl* | *-doc_* | ssl-cert_*) ;;
    *) dpkg-deb -x "$package" "$root" ;;
  esac
done
rm -rf "$work"

mkdir -p "$root/dev/shm"
chmod 1777 "$root/dev/shm" "$root/tmp"
[ -e "$root/dev/null" ] || mknod -m 666 "$root/dev/null" c 1 3
[ -e "$root/dev/urandom" ] || mknod -m 444 "$root/dev/urandom" c 1 9
printf 'root:x:0:0:root:/root:/bin/sh\npostgres:x:5432:5432::/var/lib/postgresql:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\npostgres:x:5432:\n' > "$root/etc/group"
install -d -o 5432 -g 5432 "$root/var/lib/postgresql"
touch "$root/.complete"
say "made $root"
echo "$root"
