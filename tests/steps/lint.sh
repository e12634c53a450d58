#!/usr/bin/env bash
# Formatting, clippy and rustdoc with every warning an error.
#
#   lint.sh                 all three
#   lint.sh fmt|clippy|doc  one of them
source "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"
cd "$root"

for check in ${*:-fmt clippy doc}; do
    case $check in
        fmt) cargo fmt --all --check ;;
        clippy) cargo clippy --locked --workspace --all-targets -- -D warnings ;;
        doc) RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items ;;
        *) fail "no check named $check: fmt, clippy or doc" ;;
    esac
done
