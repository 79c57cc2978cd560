# lib.sh - sourced by each table of situations in this folder. A situation is something a person has or does, and what must come of
# it. Usage of a table:  tests/situations/PART.sh BUILD_FOLDER [NAME...]   (names: run only these)
#
#   situation NAME "what somebody has or does, and what must happen" FUNCTION
#
# FUNCTION is run in an empty folder of its own. It prepares files, runs commands by `run`, and checks what came of them; the first
# check that does not hold ends it. Every situation prints one line: "right NAME", "FAULT NAME: why" or "SKIP NAME: why".
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
variant=$(cd "${1:?usage: $0 BUILD_FOLDER [NAME...]}" && pwd)/variant
shift
wanted=" $* "
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
rooms=$(mktemp -d)
trap 'rm -rf "$rooms"' EXIT
right=0 faults=0 skipped=0

situation() {
    local name=$1 function=$3 result
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || return 0
    mkdir "$rooms/$name"
    result=$(cd "$rooms/$name" && ($function) 2>shell.txt) # the function's checks print why and exit
    case $?:$result in
        0:*) right=$((right + 1)); echo "right $name: $2" ;;
        3:*) skipped=$((skipped + 1)); echo "SKIP $name: $result" ;;
        *) faults=$((faults + 1)); echo "FAULT $name ($2): $result"; sed 's/^/    /' "$rooms/$name/shell.txt"
           for file in out.txt err.txt; do [ -s "$rooms/$name/$file" ] && tail -5 "$rooms/$name/$file" | cut -c1-300 | sed "s/^/    $file: /"; done ;;
    esac
    rm -rf "${rooms:?}/$name"
}
# The last line of every table.
situations_end() {
    echo "$right right, $faults faults, $skipped skipped"
    [ $faults -eq 0 ]
}

fault() { echo "$*"; exit 1; }
skip() { echo "$*"; exit 3; }
# run ARGUMENTS...: the program, with out.txt, err.txt and $code. A run of over two minutes is a fault.
run() {
    code=0
    timeout 120 "$variant" "$@" >out.txt 2>err.txt || code=$?
    [ $code -ne 124 ] || fault "no end within two minutes: $*"
    [ $code -lt 128 ] || fault "ended by signal $((code - 128)): $*"
}
succeeds() { run "$@"; [ $code -eq 0 ] || fault "exit $code, expected 0: $*: $(tail -1 err.txt)"; }
# refuses CODE ARGUMENTS...: exit status CODE and exactly one error line, nothing more after it.
refuses() {
    local expected=$1
    shift
    run "$@"
    [ $code -eq "$expected" ] || fault "exit $code, expected $expected: $*: $(tail -1 err.txt)"
    [ -s err.txt ] || fault "not a word: $*"
}
# Was the program built with a sanitizer? It takes more address space than any limit leaves.
sanitized() { grep -qE '^VARIANT_SANITIZE:STRING=.' "$(dirname "$variant")/CMakeCache.txt"; }
# says REGEX / is_silent_on REGEX: somewhere in what the last run printed (extended, case does not matter).
says() { grep -qiE -- "$1" out.txt err.txt || fault "nothing of \"$1\": $(tail -1 err.txt)"; }
is_silent_on() { ! grep -qiE -- "$1" out.txt err.txt || fault "says \"$1\": $(grep -hiE -m1 -- "$1" out.txt err.txt)"; }
same_bytes() { cmp -s "$1" "$2" || fault "$1 and $2 differ"; }
other_bytes() { ! cmp -s "$1" "$2" || fault "$1 and $2 are the same"; }

# tiny_model FILE [CLASSES]: a synthetic model, 3 layers, 3 scales, 8x8 pictures.
tiny_model() {
    cat >tiny.json <<JSON
{"seed": "T", "depth": 3, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": ${2:-3}, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
    "$variant" synth tiny.json -o "$1" >/dev/null || fault "no synthetic model"
    rm tiny.json
}
# tiny_classifier FOLDER DATA: a few steps on the pictures of DATA.
tiny_classifier() {
    "$variant" train classifier --data "$2" -o "$1" --side 8 --crop 0 --mult 1,2 --steps 3 --batch 4 -t 1 -q >/dev/null 2>&1 || fault "no classifier"
}
