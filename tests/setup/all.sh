#!/usr/bin/env bash
# Sets everything up that the tests need; says what it fetches and why; does nothing the second time.
#
#   all.sh                  packages, Envoy, Go peers, the sandbox image, the microVM's kernel
#   all.sh envoy …          only the named parts (packages, envoy, peers, image, kernel)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$(id -u)" = 0 ] || fail "needs root: everything happens in network namespaces of its own, and making one takes root"
command -v cargo >/dev/null || fail "no cargo: install Rust 1.89 or newer (https://rustup.rs)"
command -v cc >/dev/null || fail "no C linker: apt-get install gcc libc6-dev"
for part in ${*:-packages envoy peers image kernel}; do
    "$root/tests/setup/$part.sh"
done
