#!/usr/bin/env bash
# Runs the tests that the suite had to skip on this kernel once more, in the microVM, whose kernel has it all.
#
#   microvm.sh LOG          the log of the suite, with its "SKIP <feature>: <reason> [<test>]" lines
source "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"
cd "$root"

mapfile -t tests < <(grep -aoE 'SKIP [a-z0-9-]+: .* \[[A-Za-z0-9_:]+\]' "$1" | sed 's/.*\[\(.*\)\]$/\1/' | sort -u)
if [ ${#tests[@]} -eq 0 ]; then
    echo "the suite skipped nothing: no need for another kernel"
    exit 0
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo run --locked --quiet --package testbed --bin microvm -- "${tests[@]}" 2>&1 | tee "$output"
! grep -q 'SKIP [a-z0-9-]*: ' "$output" || fail "the microVM's kernel lacks it too: see SKIP above"
