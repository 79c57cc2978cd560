#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#   ./test.sh               the fast groups (what CI runs)
#   ./test.sh --all         also the slow groups: full-size model, sanitizers, clang, valgrind
#   ./test.sh --setup-only  installs and builds, runs nothing
set -euo pipefail
cd "$(dirname "$0")"

all=0 setup_only=0
for argument in "$@"; do
    case $argument in
        --all) all=1 ;;
        --setup-only) setup_only=1 ;;
        *) echo "usage: $0 [--all] [--setup-only]" >&2; exit 2 ;;
    esac
done

extra=(python3 libopenblas0-serial) # the latter: the tests run with every OpenBLAS there is
[ $all -eq 1 ] && extra+=(clang libomp-dev libclang-rt-dev valgrind)
tools/install-deps.sh "${extra[@]}"

build() { # preset
    cmake --preset "$1" >/dev/null
    cmake --build --preset "$1"
}

build ci
if [ $all -eq 1 ]; then
    build clang
    build asan
fi
[ $setup_only -eq 1 ] && exit 0

# Skips are printed by the tests themselves as lines that begin with "SKIP"; they are counted here.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
run() { # build folder, ctest options
    local folder=$1
    shift
    ctest --test-dir "$folder" --output-on-failure --verbose "$@" >"$log" 2>&1 || status=$?
    grep -E '^[0-9]+: SKIP' "$log" | sed 's/^[0-9]*: //' || true
    echo "skips: $(grep -cE '^[0-9]+: SKIP' "$log" || true)"
    if [ $status -ne 0 ]; then cat "$log"; exit $status; fi
    grep -E '^ *[0-9]+/[0-9]+ Test' "$log"
    grep -E 'tests passed|Total Test time' "$log"
}

if [ $all -eq 1 ]; then
    echo "== sanitizers"
    run build/asan -L fast
    echo "== valgrind"
    tests/valgrind.sh build/ci
    echo "== everything, gcc"
    run build/ci
else
    run build/ci -L fast
fi
