#!/usr/bin/env bash
# The picture of the house in docs/DESIGN.md is true, and functions are as short as they were: the median at most 10 lines,
# the longest at most 88. And both checks notice what they are for.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
check() { # WHAT EXPECTED-STATUS PATTERN COMMAND...
    local what=$1 wanted=$2 pattern=$3 out status
    shift 3
    out=$("$@" 2>&1)
    status=$?
    if [ "$status" -eq "$wanted" ] && grep -qE -- "$pattern" <<<"$out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s: exit %s, expected %s and "%s":\n%s\n' "$what" "$status" "$wanted" "$pattern" "$out"
    fi
}

check "docs/house.svg is what the sources include" 0 "" tools/house.py --check
check "docs/DESIGN.md shows it" 0 "house\.svg" grep -E '!\[.*\]\(house\.svg\)' docs/DESIGN.md
check "functions are as short as they were" 0 "^[0-9]+ functions: median" tools/function_lengths.py --median 10 --longest 88

# A copy with one thing changed at a time.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/docs"
cp -r include src cli "$scratch/" && cp docs/house.svg "$scratch/docs/"
check "a copy is true as well" 0 "" tools/house.py --check --folder "$scratch"
cp src/nn/linear.c "$scratch/src/nn/linear.c.kept"
printf '#include "supernet/schedule.h"\n' >>"$scratch/src/nn/linear.c"
check "an arrow more" 1 "run tools/house.py" tools/house.py --check --folder "$scratch"
mv "$scratch/src/nn/linear.c.kept" "$scratch/src/nn/linear.c"
printf '/* a line */\n' >>"$scratch/src/nn/linear.c"
check "a line more is within a tenth" 0 "" tools/house.py --check --folder "$scratch"
for _ in $(seq 400); do printf '/* many lines */\n'; done >>"$scratch/src/nn/linear.c"
check "a room that grew" 1 "run tools/house.py" tools/house.py --check --folder "$scratch"
check "which drawing mends" 0 "" tools/house.py --folder "$scratch"
check "and then it is true" 0 "" tools/house.py --check --folder "$scratch"
mkdir "$scratch/src/attic" && printf '#include "core/status.h"\n' >"$scratch/src/attic/attic.c"
check "a room that nobody described" 1 "say in ROOMS what attic is for" tools/house.py --check --folder "$scratch"
printf '#include "io/file.h"\n' >>"$scratch/src/core/status.c"
rm -r "$scratch/src/attic"
check "rooms that include each other" 1 "include each other" tools/house.py --check --folder "$scratch"
{
    printf 'int too_long(int x) {\n'
    for _ in $(seq 87); do printf '    x += x * 3;\n'; done
    printf '    return x;\n}\n'
} >"$scratch/src/core/long.c"
check "a function of 90 lines" 1 "90 +src/core/long.c:1" tools/function_lengths.py --longest 88 --folder "$scratch"
check "a median above the bound" 1 "median of at most 5" tools/function_lengths.py --median 5 --folder "$scratch"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
