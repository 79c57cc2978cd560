#!/usr/bin/env bash
# clang-tidy with .clang-tidy over src/ and cli/, as many files at a time as there are processors.
#   tools/tidy.sh BUILD_FOLDER [FILE...]     BUILD_FOLDER: a configured build of clang (build/clang); files: only these
# The inner loops (kern/cpu/isa) go without the path-sensitive analyser: unrolled and compiled five times, each takes it many
# minutes, and they have neither pointers to follow nor memory of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: $0 BUILD_FOLDER [FILE...]" >&2; exit 2; }
build=$1
shift
[ -f "$build/compile_commands.json" ] || { echo "$0: $build has no compile_commands.json: cmake --preset clang" >&2; exit 2; }
program=$(command -v clang-tidy-14) || { echo "$0: no clang-tidy-14 (apt install clang-tidy-14)" >&2; exit 1; }

files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(find src cli -name '*.c' | sort)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
one() { # file
    local only=()
    [[ $1 == *kern/cpu/isa/* ]] && only=(--checks='-clang-analyzer-*')
    "$program" -p "$build" --quiet "${only[@]}" "$1" 2>/dev/null
}
export -f one
export program build
printf '%s\0' "${files[@]}" | xargs -0 -I{} -P "$(nproc)" bash -c 'one "$1"' one {} >"$log" || failed=1
if [ $failed -ne 0 ]; then
    if [ $# -gt 0 ]; then cat "$log"; else grep -A 1 -E '(warning|error): .*\[[a-z]' "$log"; fi # with names of files also the ways there
    echo "$0: $(grep -cE '(warning|error): .*\[[a-z]' "$log") warnings" >&2
    exit 1
fi
echo "clang-tidy: ${#files[@]} files, no warning"
