#!/usr/bin/env bash
# Links what is installed on a node statically, so that it runs on any distribution, and proves it:
# no loader asked for, at most 10 MiB, and it answers VERSION with an empty environment in an empty root.
source "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"

# The gnu target links statically as well as musl does, and its std is the one that every Rust brings along.
target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || target=$(uname -m)-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-$root/target}/dist
limit=$((10 * 1024 * 1024))

cd "$root"
CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' \
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --release --target "$target" "${@:--pcni-plugin}"
mkdir -p "$out"
built=${CARGO_TARGET_DIR:-$root/target}/$target/release
for binary in multiplane bootstrap-gen plane-capture control-plane; do
    [ -x "$built/$binary" ] || continue
    cp "$built/$binary" "$out/$binary"
    size=$(stat -c %s "$out/$binary")
    if readelf -lW "$out/$binary" | grep -q INTERP; then fail "$binary asks for a loader: not static"; fi
    [ "$size" -le "$limit" ] || fail "$binary is $size bytes, more than 10 MiB"
    printf '%-14s %8d bytes, static\n' "$binary" "$size"
done
if [ -x "$out/multiplane" ]; then
    empty=$(mktemp -d)
    trap 'rm -rf "$empty"' EXIT
    cp "$out/multiplane" "$empty/"
    env -i CNI_COMMAND=VERSION "$(command -v chroot)" "$empty" /multiplane <<<'{"cniVersion": "1.1.0"}' |
        grep -q supportedVersions || fail "multiplane does not answer VERSION in an empty root"
fi
