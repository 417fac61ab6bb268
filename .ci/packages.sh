#!/usr/bin/env bash
# Install the Debian packages the legs need, only those that are missing, without starting any service,
# and put promtool (from the package `prometheus`, unpacked only) into CACHE/bin.
#
#   .ci/packages.sh CACHE
set -euo pipefail

cache=${1:?usage: packages.sh CACHE}
export DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin
wanted=()

need() { # need PACKAGE COMMAND: the package is wanted when the command is not there
  command -v "$2" > /dev/null || wanted+=("$1")
}

need make make
need git git
need python3 python3
need mosquitto mosquitto
need chromium chromium
need procps ps
python3 -c 'import ensurepip, venv' 2> /dev/null || wanted+=(python3-venv)

updated=
update() {
  [ -n "$updated" ] || apt-get update -qq
  updated=yes
}

if [ ${#wanted[@]} -gt 0 ]; then
  echo "packages: installing ${wanted[*]}"
  update
  # Debian starts a service when it is installed, unless this file says 101: the legs start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get install -qq -y --no-install-recommends -o Acquire::Retries=3 "${wanted[@]}" > /dev/null
fi

if [ ! -x "$cache/bin/promtool" ]; then
  if command -v promtool > /dev/null; then
    mkdir -p "$cache/bin"
    ln -sf "$(command -v promtool)" "$cache/bin/promtool"
  else
    echo 'packages: unpacking promtool'
    update
    unpack=$(mktemp -d)
    (cd "$unpack" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
    dpkg-deb -x "$unpack"/prometheus_*.deb "$unpack/tree"
    install -D "$unpack/tree/usr/bin/promtool" "$cache/bin/promtool"
    rm -rf "$unpack"
  fi
fi
