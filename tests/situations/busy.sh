#!/usr/bin/env bash
# Situations of machines that others use, too: busy cores, a share of the processors, little memory.
#   tests/situations/busy.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

loops=()
busy() { for _ in $(seq "$1"); do (while :; do :; done) & loops+=($!); done; }
quiet() { [ ${#loops[@]} -eq 0 ] || kill "${loops[@]}" 2>/dev/null; loops=(); }
# milliseconds COMMAND...: of the shortest of three runs beside the loops
milliseconds() {
    local least=999999 begin took
    for _ in 1 2 3; do
        begin=$(date +%s%N)
        timeout 60 "$@" >/dev/null 2>err.txt || { quiet; fault "failed beside busy loops: $*: $(tail -1 err.txt)"; }
        took=$((($(date +%s%N) - begin) / 1000000))
        [ $took -lt $least ] && least=$took
    done
    echo $least
}
# beside LOOPS COMMAND...: with all threads at most three times as long as with one (half a second is always allowed)
beside() {
    local one all
    trap quiet EXIT
    busy "$1"
    shift
    one=$(milliseconds nice -n 15 "$@" -t 1) || { echo "$one"; exit 1; }
    all=$(milliseconds nice -n 15 "$@" -t "$(($(nproc) > 1 ? $(nproc) : 2))") || { echo "$all"; exit 1; }
    quiet
    [ "$all" -le $((3 * one + 500)) ] || fault "one thread $one ms, all $all ms"
}

generate_beside_loops() {
    tiny_model m.safetensors
    beside "$(nproc)" "$variant" generate -m m.safetensors -n 4 -o x.png
}
situation generate-beside-loops "pictures while every core runs something else: several threads do not collapse" generate_beside_loops

twice_the_loops() {
    tiny_model m.safetensors
    beside $((2 * $(nproc))) "$variant" generate -m m.safetensors -n 4 --weights bf16 -o x.png
}
situation twice-the-loops "two other programs a core, bf16 weights: the same" twice_the_loops

many_threads_one_core() {
    tiny_model m.safetensors
    command -v taskset >/dev/null || skip "no taskset"
    core=$(taskset -cp $$ | sed -E 's/.*: ([0-9]+).*/\1/')
    run_on() { taskset -c "$core" "$variant" generate -m m.safetensors -n 8 -s 1 "$@" >out.txt 2>err.txt || fault "failed: $(tail -1 err.txt)"; }
    begin=$(date +%s%N)
    run_on -t 1 -o one.png
    one=$((($(date +%s%N) - begin) / 1000000)) begin=$(date +%s%N)
    run_on -t 8 -o many.png
    many=$((($(date +%s%N) - begin) / 1000000))
    same_bytes one_00.png many_00.png
    same_bytes one_07.png many_07.png
    [ $many -le $((3 * one + 1000)) ] || fault "one thread $one ms, eight on its core $many ms"
}
situation many-threads-one-core "eight threads asked for on one core: the same pictures, and in no more than three times the time" many_threads_one_core

affinity() {
    command -v taskset >/dev/null || skip "no taskset"
    core=$(taskset -cp $$ | sed -E 's/.*: ([0-9]+).*/\1/')
    taskset -c "$core" "$variant" --version -v >out.txt 2>err.txt
    says "affinity to 1.*: 1 thread"
    says "cpu: .* 1 thread$"
}
situation affinity "taskset to one core: one thread, and --version -v says why" affinity

version_tells() {
    succeeds --version -v
    says "^machine: [0-9]+ processors?, affinity to [0-9]+, (no quota|a quota of .*): [0-9]+ threads?$"
}
situation version-tells "what the program may use of the machine is told" version_tells

little_address_space() {
    sanitized && skip "a sanitizer takes more address space than any limit"
    tiny_model m.safetensors
    for megabytes in 600 900 1500; do
        (ulimit -v $((megabytes * 1000)); timeout 20 "$variant" generate -m m.safetensors -n 2 -o x.png >out.txt 2>err.txt)
        code=$?
        [ $code -eq 0 ] || [ $code -eq 1 ] || fault "exit $code under ulimit -v of $megabytes MB"
        [ $code -eq 0 ] || says "ulimit -v"
    done
}
situation little-address-space "ulimit -v: pictures, or one line that names the limit; no crash, no hang" little_address_space

train_little_address_space() {
    sanitized && skip "a sanitizer takes more address space than any limit"
    python3 -c 'import inputs; inputs.classes("pictures", ["a", "b"], 8)' 2>/dev/null || skip "no pictures"
    for kind in classifier tokenizer; do
        for megabytes in 800 1000 1200 2000; do
            (ulimit -v $((megabytes * 1000)); timeout -k 2 60 "$variant" train $kind --data pictures -o run --side 8 --steps 2 --batch 4 --restart >out.txt 2>err.txt)
            code=$?
            [ $code -eq 0 ] || [ $code -eq 1 ] || fault "$kind: exit $code under ulimit -v of $megabytes MB"
            [ $code -eq 0 ] || says "ulimit -v|no memory|reserved|needs more"
        done
    done
}
situation train-little-address-space "training under ulimit -v: it reserves what the limit leaves, not what the machine has" train_little_address_space

situations_end
