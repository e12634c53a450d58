# Sourced by the other set-up scripts: where things lie, how they are announced, one set-up at a time.
#
# Everything that is fetched or built for the tests lies in one cache outside the tree:
#   MULTIPLANE_CACHE, else /var/cache/multiplane
# The tree sees it only through links in target/real/, which the testbed follows (tests/src/real/parts.rs).

set -euo pipefail

# CI starts without a login shell: find the toolchains where their installers put them.
for dir in "${HOME:-/root}/.cargo/bin" /usr/local/go/bin /usr/sbin /sbin; do
    case ":$PATH:" in *":$dir:"*) ;; *) PATH="$PATH:$dir" ;; esac
done
export PATH

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${MULTIPLANE_CACHE:-/var/cache/multiplane}
parts=${CARGO_TARGET_DIR:-$root/target}/real
mkdir -p "$cache" "$parts"

say() { printf '  setup: %s\n' "$*"; }
fail() { printf '  setup: %s\n' "$*" >&2; exit 1; }

# Two trees may set themselves up at the same time; the second waits and then finds the work done.
one_at_a_time() {
    local lock
    lock=$cache/$(basename "$0" .sh).lock
    exec 9>"$lock"
    flock -w 1500 9 || fail "another set-up has held $lock for 25 minutes: end it and try again"
}

# quietly LOG COMMAND...: runs it with its output in a file that is shown only if it fails.
quietly() {
    local log=$cache/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; fail "failed: $* (log: $log)"; }
}

# part NAME PATH: makes a part of the cache visible to the tests as target/real/NAME.
part() { ln -sfn "$2" "$parts/$1"; }
