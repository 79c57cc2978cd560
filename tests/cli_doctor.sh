#!/usr/bin/env bash
# `variant doctor`: the machine and a model in words and JSON, and what it finds wrong where something is: limits, a lesser
# instruction set, an OpenBLAS that does not know its processor, a model that does not fit.
#   tests/cli_doctor.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
export XDG_CACHE_HOME=$out/cache VARIANT_WATCH=off
model=$root/models/fashion
says() { grep -qE -- "$1" out.txt && ok || { cp out.txt err.txt; bad "no \"$1\""; }; }
wrong() { # what it says; then the command, which must end with 1
    local words=$1
    shift
    "$@" >out.txt 2>err.txt
    [ $? -eq 1 ] && ok || { cat out.txt >>err.txt; bad "exit status of $*"; }
    says "^wrong: .*$words"
}

run doctor
says "^  limits     [0-9]+ processors?, affinity to [0-9]+"
says "^  kernels    OpenBLAS [0-9.]+ [A-Za-z]+, loops "
run doctor -m "$model" --batch 4 -t 1
says "12 layers of 128, 7 scales, 10 classes"
[ "$(grep -cE '^  (12|6|3|2) +[0-9.]+ MB +[0-9.]+ ms' out.txt)" -eq 4 ] && ok || { cp out.txt err.txt; bad "not four depths with times"; }
run doctor -m "$model" --batch 4 --no-times --json
python3 - "$("$variant" plan -m "$model" --batch 4 -n 4 --json)" <<'P' && ok || bad "JSON"
import json
import sys
told = json.load(open("out.txt"))
rows = {row["depth"]: row for row in told["depths"]}
assert list(rows) == [12, 6, 3, 2] and all(row["seconds"] is None for row in rows.values()), rows
assert told["machine"]["threads"] >= 1 and told["machine"]["kernels"] == told["machine"]["offered"], told
full = rows[12]
assert full["weights"] + full["mapped"] + full["arena"] + full["kv"] == json.loads(sys.argv[1])["bytes"], (full, sys.argv[1])
P
VARIANT_CPU=baseline run doctor
says "^note: (VARIANT_CPU asks for baseline|the processor has no AVX2)"
VARIANT_CPU=avx3 run doctor
says "^note: VARIANT_CPU=avx3 is no instruction set that this processor has: [a-z0-9]+ is used: unset VARIANT_CPU"

# as many threads as were asked for
run doctor -t 7 --json
says '"threads": 7,'
sanitized() { grep -qE '^VARIANT_SANITIZE:STRING=.' "$(dirname "$variant")/CMakeCache.txt"; } # takes more than any limit

# an OpenBLAS that takes kernels of 2004, where the variable that helps was set to them: the program must not start itself again for ever
OPENBLAS_CORETYPE=Prescott run doctor
says "OpenBLAS [0-9.]+ (Prescott|Nehalem|Core2)"
# who set it is told so; where the program itself did, for an OpenBLAS older than the processor, nobody is
says "^note: OPENBLAS_CORETYPE=Prescott chooses the kernels of products in float32: OpenBLAS [0-9.]+ [A-Za-z0-9]+ is used: unset"
OPENBLAS_CORETYPE='' run doctor
says "^note: OPENBLAS_CORETYPE is set to nothing, which chooses no kernels: OpenBLAS [0-9.]+ [A-Za-z0-9]+ is used: unset"
OPENBLAS_CORETYPE=$'a\e[31mb\nc' VARIANT_CPU=$'\e]0;x\a' run doctor
says "^note: OPENBLAS_CORETYPE=a\?\[31mb\?c chooses the kernels"
says "^note: VARIANT_CPU=\?\]0;x\? is no instruction set"
OPENBLAS_CORETYPE=Prescott VARIANT_CORETYPE=Prescott run doctor
grep -q OPENBLAS_CORETYPE out.txt && { cp out.txt err.txt; bad "told of what the program chose"; } || ok
env -u OPENBLAS_CORETYPE "$variant" doctor >out.txt 2>err.txt
grep -q OPENBLAS_CORETYPE out.txt && { cp out.txt err.txt; bad "told of a variable that nobody set"; } || ok
# a small stack, as musl gives threads: nothing large lies on it
for kilobytes in 64 128; do
    bash -c "ulimit -s $kilobytes; exec '$variant' doctor -t 1" >out.txt 2>err.txt
    [ $? -le 1 ] && says "^  kernels    OpenBLAS" || bad "doctor with a stack of $kilobytes kB"
done
sanitized && echo "SKIP limits of address space: a sanitizer takes more than any" || wrong "ulimit -v leaves" bash -c "ulimit -v 700000; exec '$variant' doctor"
"$variant" synth "$root/tests/examples.json" -o plain.safetensors >/dev/null 2>err.txt || bad synth
run doctor -m plain.safetensors --no-times
says "^note: the model was trained at its full depth alone"
sanitized || wrong "a batch takes 1[0-9]+.* to be had: --weights" bash -c "ulimit -v 6000000; exec '$variant' doctor -m '$model' --batch 4096 --no-times -t 1"

"$variant" doctor -m nowhere >out.txt 2>err.txt
[ $? -eq 1 ] && grep -q "^variant doctor: nowhere" err.txt && ! grep -qx "nothing is wrong" out.txt && ok || bad "a model that is not there"
"$variant" doctor surplus >out.txt 2>err.txt
[ $? -eq 2 ] && ok || bad "an argument too many"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
