#!/usr/bin/env bash
# Fuzzes on: every target (or those named) for so many minutes each, from the corpus in the tree and what earlier runs found.
#   tests/fuzz/run.sh MINUTES [TARGET...]
# New inputs go to $VARIANT_FUZZ_CORPUS (else ~/.cache/variant/fuzz), outside the tree; what ends a target, to findings/ there. A line a target:
# processor time, executions, coverage counters reached, inputs in the corpus, findings. Exit status 1 where there is a finding.
# FUZZ_TIMEOUT: seconds that one input may take, 10 (more, where the run is stopped at times).
# FUZZ_BUILT=1: the programs are as they should be.
# Needs clang and libclang-rt-dev (tools/install-deps.sh clang libclang-rt-dev).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] && [[ $1 =~ ^[0-9]+([.][0-9]+)?$ ]] || { echo "usage: $0 MINUTES [TARGET...]" >&2; exit 2; }
seconds=$(awk "BEGIN { print int($1 * 60) }")
shift
all=$(sed -n 's/^ *variant_fuzz(\([a-z]*\).*/\1/p' tests/fuzz/CMakeLists.txt)
targets=${*:-$all}
for target in $targets; do
    grep -qx "$target" <<<"$all" || { echo "$0: no target \"$target\"; there are: "$all >&2; exit 2; }
done
corpus=${VARIANT_FUZZ_CORPUS:-${XDG_CACHE_HOME:-$HOME/.cache}/variant/fuzz}
build=build/fuzz
[ -e $build/CMakeCache.txt ] || cmake --preset fuzz >/dev/null
# shellcheck disable=SC2086
[ -n "${FUZZ_BUILT:-}" ] || cmake --build --preset fuzz --target $(printf 'fuzz_%s ' $targets) >"$build/fuzz.log" 2>&1 || { cat "$build/fuzz.log" >&2; exit 1; }

# Longest inputs: what readers look at soon; a longer one is a slower one.
declare -A longest=([torch]=8192 [npz]=8192 [png]=4096 [jpeg]=4096 [picture]=4096 [form]=8192 [wish]=8192 [sweep]=8192 [tokens]=4096 [settings]=4096)
declare -A golden=([npz]=npz [png]=pictures [jpeg]=pictures [picture]=pictures)
# Freed memory is held back for a while only, and a block of a gigabyte is a finding.
export ASAN_OPTIONS=quarantine_size_mb=16:${ASAN_OPTIONS:-} UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
TIMEFORMAT=%U
status=0
for target in $targets; do
    mkdir -p "$corpus/$target" "$corpus/findings"
    log=$corpus/$target.log
    before=$(find "$corpus/findings" -name "$target-*" | wc -l)
    { time "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout="${FUZZ_TIMEOUT:-10}" \
        -report_slow_units="${FUZZ_TIMEOUT:-10}" -rss_limit_mb=2048 -malloc_limit_mb=1024 \
        -max_len="${longest[$target]:-2048}" -print_final_stats=1 -artifact_prefix="$corpus/findings/$target-" \
        $([ -e "tests/fuzz/dictionaries/$target.dict" ] && echo "-dict=tests/fuzz/dictionaries/$target.dict") \
        "$corpus/$target" "tests/fuzz/corpus/$target" ${golden[$target]:+tests/golden/${golden[$target]}} >"$log" 2>&1; } 2>"$log.time" || status=1
    found=$(($(find "$corpus/findings" -name "$target-*" | wc -l) - before))
    last=$(grep -aE "^#[0-9]+.*cov:" "$log" | tail -1 || true)
    printf '%-12s %6.0f s of processor %10s executions %6s counters %6s inputs %3d findings\n' "$target" "$(tail -1 "$log.time")" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' <<<"$last")" "$(find "$corpus/$target" -type f | wc -l)" "$found"
    if [ "$found" -gt 0 ]; then
        grep -aE 'not so:|ERROR: |SUMMARY: |runtime error|at most .* promised' "$log" | head -5 || true
        find "$corpus/findings" -name "$target-*" -newer "tests/fuzz/run.sh" -printf '  %p\n' | tail -3
    fi
done
exit $status
