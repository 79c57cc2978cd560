#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#   ./test.sh               the fast groups
#   ./test.sh NAME...       the test of that name, or else those whose names contain it: test_kern, cli_, tests/situations/data.sh
#   ./test.sh --ci          what CI runs (.ci/run): the fast groups, clang, sanitizers, poisoned arenas
#   ./test.sh --all         everything: also the slow groups, all fast ones under sanitizers and over poisoned arenas, clang-tidy, valgrind
#   ./test.sh --setup-only  installs and builds, runs nothing
#   --preset PRESET         another build than ci, of CMakePresets.json: debug, clang, asan, tsan, poison, fuzz
set -euo pipefail
cd "$(dirname "$0")"

usage() { echo "usage: $0 [--preset PRESET] [NAME... | --ci | --all | --setup-only]${1:+ ($1)}" >&2; exit 2; }

mode=fast preset=ci names=()
while [ $# -gt 0 ]; do
    case $1 in
        --ci | --all | --setup-only) [ $mode = fast ] || usage "one of --ci, --all and --setup-only"; mode=${1#--} ;;
        --preset) [ $# -gt 1 ] || usage "--preset wants a name"; preset=$2; shift ;;
        --preset=*) preset=${1#*=} ;;
        -h | --help) sed -n '2,/^set/{/^# */s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        -*) usage "no option $1" ;;
        *) names+=("$1") ;;
    esac
    shift
done
[ ${#names[@]} -eq 0 ] || [ $mode = fast ] || usage "--$mode takes no names"
[ $preset = ci ] || [[ $mode =~ ^(fast|setup-only)$ ]] || usage "--$mode chooses its builds itself"
presets=$(sed -n '/configurePresets/,/\]/s/.*{"name": "\([a-z]*\)".*/\1/p' CMakePresets.json | xargs)
[[ " $presets " == *" $preset "* ]] || usage "no preset \"$preset\"; there are: $presets"

# libopenblas0-serial: the tests run with every OpenBLAS there is
extra=(python3 python3-pil libopenblas0-serial clang-format-14
    python3-dev python3-cffi python3-numpy python3-pytest mypy # the Python package and its tests
    zsh fish) # whose completion is tried
[[ $preset =~ ^(clang|asan|tsan|fuzz)$ || $mode =~ ^(ci|all)$ ]] && extra+=(clang libclang-rt-dev)
[[ $mode =~ ^(ci|all)$ ]] && extra+=(chromium chromium-driver) # for cli_page, which skips itself without them
[ $mode = all ] && extra+=(clang-tidy-14 cppcheck valgrind python3-venv debootstrap lintian buildah)
tools/install-deps.sh "${extra[@]}"

build() { # preset [targets...]
    local preset=$1
    shift
    cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset" ${1:+--target "$@"}
}

# Skips are printed by the tests themselves as lines that begin with "SKIP"; they are counted here.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
run() { # build folder, ctest options
    local folder=$1 status=0
    shift
    ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure --no-tests=error --verbose "$@" >"$log" 2>&1 || status=$?
    grep -E '^[0-9]+: SKIP' "$log" | sed 's/^[0-9]*: //' || true
    echo "skips: $(grep -cE '^[0-9]+: SKIP' "$log" || true)"
    if [ $status -ne 0 ]; then
        cat "$log"
        grep -E 'tests passed' "$log" || true
        exit $status
    fi
    grep -E '^ *[0-9]+/[0-9]+ Test' "$log"
    grep -E 'tests passed|Total Test time' "$log"
    passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed ' "$log")))
}
check() { # a command that says itself what was wrong
    "$@"
    passed=$((passed + 1))
}
step() { echo "== $* ($((SECONDS / 60)) min)"; }

# The tests that the names mean, as a regular expression of ctest. A file's path is taken for its test.
tests_named() {
    local all name regex=""
    all=$(ctest --test-dir "$1" -N | sed -n 's/^ *Test *#[0-9]*: //p')
    shift
    for name in "$@"; do
        [[ $name == *situations/* ]] && name=situations_${name##*/}
        name=${name##*/}
        name=${name%.*}
        if grep -qxF -- "$name" <<<"$all"; then
            regex+="|$name"
        elif grep -qF -- "$name" <<<"$all"; then
            regex+="|$(grep -F -- "$name" <<<"$all" | paste -sd'|')"
        else
            echo "$0: no test \"$name\"; near: $(near "$name" <<<"$all")" >&2
            return 2
        fi
    done
    echo "^(${regex#|})\$"
}
near() {
    python3 -c 'import difflib, sys
names = sys.stdin.read().split()
wanted = sys.argv[1].lower()
parts = {n: max([difflib.SequenceMatcher(None, wanted, p).ratio() for p in [n, n.partition("_")[2]]]) for n in names}
print(", ".join(sorted(names, key=lambda n: -parts[n])[:5]))' "$1"
}

if [ ${#names[@]} -gt 0 ]; then
    build "$preset"
    regex=$(tests_named "build/$preset" "${names[@]}") || exit
    status=0
    options=(--output-on-failure -j "$(nproc)")
    [[ $regex == *"|"* ]] || options=(--verbose)
    ctest --test-dir "build/$preset" "${options[@]}" -R "$regex" | tee "$log" || status=$?
    echo "skips: $(grep -cE '^([0-9]+: )?SKIP' "$log" || true)"
    grep -E 'tests passed' "$log"
    exit $status
fi

build "$preset"
case $mode in
    setup-only)
        exit 0 ;;
    fast)
        run "build/$preset" -L fast ;;
    ci)
        step "fast tests, gcc"
        run build/ci -L fast
        step "clang, warnings are errors"
        build clang
        passed=$((passed + 1))
        step "thread sanitizer: concurrent generation"
        build tsan test_concurrent test_shared test_threads
        run build/tsan -R '^test_(concurrent|shared|threads)$'
        step "address and undefined behaviour sanitizers"
        build asan
        run build/asan -L sanitized
        step "poisoned arenas"
        build poison
        run build/poison -L poisoned
        echo "$passed passed, 0 failed" ;;
    all)
        step "clang, warnings are errors"
        build clang
        passed=$((passed + 1))
        step "thread sanitizer"
        build tsan test_concurrent test_large_data test_shared test_streams test_threads test_train_api
        run build/tsan -L tsan
        step "address and undefined behaviour sanitizers"
        build asan
        run build/asan -L fast
        step "poisoned arenas"
        build poison
        run build/poison -L fast
        step "clang-tidy"
        check tools/tidy.sh build/clang
        step "valgrind"
        check tests/valgrind.sh build/ci
        step "everything, gcc"
        run build/ci
        echo "$passed passed, 0 failed" ;;
esac
