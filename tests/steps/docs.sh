#!/usr/bin/env bash
# Runs every command that a document shows: each ```sh block of README.md and docs/*.md, line by line, on a
# machine of its own as far as networks, /etc, /opt, /run and /var/lib go. `make …` lines are left to the steps
# that run them anyway. Blocks in other languages (text, json, console) are not run.
source "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"
cd "$root"

if [ "${1:-}" != inside ]; then
    exec unshare --mount --net -- "$0" inside
fi

for dir in /etc /opt /run /var/lib; do
    copy=$(mktemp -d)
    mount -t tmpfs tmpfs "$copy"
    [ $dir = /var/lib ] || cp -a $dir/. "$copy" 2>/dev/null || true # sockets and such stay behind
    mount --move "$copy" $dir
    rmdir "$copy"
done
ip link set lo up
export PATH="${CARGO_TARGET_DIR:-$root/target}/dist:${CARGO_TARGET_DIR:-$root/target}/debug:$PATH"

# Each block is the input of a shell of its own; the first line that fails fails the block.
failures=0 count=0
for file in README.md docs/*.md; do
    number=0 block="" start=0 inside=no
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        if [ "$inside" = no ] && [ "$line" = '```sh' ]; then
            inside=yes block="" start=$number
        elif [ "$inside" = yes ] && [ "$line" = '```' ]; then
            inside=no
            count=$((count + 1))
            if output=$(timeout 120 bash -euo pipefail -c "$block" 2>&1 </dev/null); then
                echo "ok   $file:$start"
            else
                failures=$((failures + 1))
                printf 'FAIL %s:%d\n%s\n--- printed:\n%s\n' "$file" "$start" "$block" "$output"
            fi
        elif [ "$inside" = yes ]; then
            [[ $line =~ ^make\ (help|demo|test|bench|dist|lint|setup)( |$) ]] || block+=$line$'\n'
        fi
    done <"$file"
done
printf '%d blocks, %d failed\n' "$count" "$failures"
[ "$failures" -eq 0 ]
