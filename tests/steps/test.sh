#!/usr/bin/env bash
# `make test`: every step that CI runs, one after the other, each with a log of its own.
#
#   test.sh                 all steps
#   test.sh suite demo …    only the named ones (their names are in the left column of the output)
#
# A step that runs Rust tests counts as its tests; any other step counts as one. A test that the kernel cannot
# run prints "SKIP <feature>: <reason>" (testbed's `requires`) and counts as skipped; tests/skips.allow decides
# which features may be skipped. The last line is the verdict: "N passed, N failed, N skipped".
source "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"
cd "$root"
set +e

logs=${CARGO_TARGET_DIR:-$root/target}/test
mkdir -p "$logs"
wanted=("$@")
passed=0 failed=0 skipped=0 ran=() broken=()
started=$SECONDS

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# A panic's backtrace is worth its lines in a log that is only read after a failure.
export RUST_BACKTRACE=1
# The verdict is about the change and not about dice: property tests draw the same cases each time. Whoever hunts
# for new ones sets another seed.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261122}

# sum PATTERN LOG: adds up the number before a word in all "test result:" lines of a log.
sum() { grep -aoE "test result: [A-Za-z]+\. .*" "$2" | grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }
skips() { grep -aoE 'SKIP [a-z0-9-]+: .*' "$1"; }

# count NAME STATUS: turns a step's log and exit status into numbers.
count() {
    local log=$logs/$1.log good bad ignored missing
    if grep -aqE 'test result: ' "$log"; then
        good=$(sum passed "$log") bad=$(sum failed "$log") ignored=$(sum ignored "$log")
        missing=$(skips "$log" | wc -l)
        # Died without a failed test: did not compile, was killed, ran out of time.
        [ "$2" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    else
        missing=0 ignored=0 good=$(($2 == 0)) bad=$(($2 != 0))
    fi
    good=$((good - missing)) missing=$((missing + ignored))
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + missing))
    [ "$bad" -eq 0 ] || broken+=("$1")
    printf '%d passed, %d failed, %d skipped' "$good" "$bad" "$missing"
    [ "$2" -ne 124 ] || printf ' (out of time)'
}

# step NAME LIMIT COMMAND...: runs it within LIMIT seconds; says every minute that it is still alive.
step() {
    local name=$1 limit=$2 log=$logs/$1.log begun=$SECONDS pid status
    shift 2
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    ran+=("$log")
    printf '%-8s %s\n' "$name" "$*"
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        for _ in $(seq 60); do
            sleep 1
            kill -0 $pid 2>/dev/null || break 2
        done
        printf '%-8s … %d s: %s\n' "" $((SECONDS - begun)) "$(tail -n 1 "$log" | cut -c1-80)"
    done
    wait $pid
    status=$?
    count "$name" $status >"$logs/.counted"
    printf '%-8s %d s: ' "" $((SECONDS - begun))
    cat "$logs/.counted"
    printf '\n'
}

step setup 1500 tests/setup/all.sh
step fmt 60 tests/steps/lint.sh fmt
step clippy 900 tests/steps/lint.sh clippy
step doc 600 tests/steps/lint.sh doc
step crates 1200 cargo test --locked --workspace --exclude testbed --no-fail-fast
step fuzz 600 env PROPTEST_CASES=5000 cargo test --locked --workspace --exclude testbed --lib \
    -- without_panic parser_panic
step suite 1200 cargo test --locked --package testbed --no-fail-fast
step microvm 300 tests/steps/microvm.sh "$logs/suite.log"
step dist 900 tests/steps/dist.sh
step bench 300 make --no-print-directory bench
step docs 600 tests/steps/docs.sh
step demo 300 make --no-print-directory demo

[ ${#ran[@]} -gt 0 ] || fail "no step is named ${wanted[*]}: see 'step' in $0"
all_skips=$(cat "${ran[@]}" | skips /dev/stdin | sort)
if [ -n "$all_skips" ]; then
    printf '\nskipped:\n%s\n' "$all_skips"
    for feature in $(sed 's/^SKIP \([a-z0-9-]*\): .*/\1/' <<<"$all_skips" | sort -u); do
        if ! grep -q "^$feature: ." tests/skips.allow; then
            printf 'skip of "%s" is not allowed: mend it, or give a reason in tests/skips.allow\n' "$feature"
            failed=$((failed + 1))
        fi
    done
fi
for name in "${broken[@]}"; do
    printf '\n===== %s failed (%s)\n' "$name" "$logs/$name.log"
    if grep -aq '^failures:$' "$logs/$name.log"; then
        sed -n '/^failures:$/,$p' "$logs/$name.log" | head -n 400
    else
        tail -n 80 "$logs/$name.log"
    fi
done

printf '\n%d s; logs in %s\n' $((SECONDS - started)) "$logs"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped" | tee "$logs/summary"
[ "$failed" -eq 0 ]
