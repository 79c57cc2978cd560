#!/usr/bin/env bash
# Trainings over ranks on this machine: the weights of one process within rounding, the same bytes every time, sharded or not, another
# number of ranks that goes on; one clear line where ranks differ or are too many; a killed one ends all. --all: every kind, a silent one.
#   tests/ranks_train.sh BUILD_FOLDER [--all]
set -uo pipefail
# shellcheck source=mpi.sh
. "$(dirname "$0")/mpi.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
variant=$build/variant
command -v python3 >/dev/null || { echo "SKIP $name: no python3"; exit 0; }
cd "$room" || exit 1
checks=0
bad() { echo "FAULT: $*"; tail -5 err.txt; exit 1; }
alone() { timeout 60 "$variant" train "$@" >out.txt 2>err.txt || bad "alone: $*"; }
# ranks N ARGUMENTS...; $code
ranks() {
    local count=$1
    shift
    code=0
    timeout 120 "${mpirun[@]}" -np "$count" "$variant" train "$@" >out.txt 2>err.txt || code=$?
}
over() { ranks "$@"; [ $code -eq 0 ] || bad "exit $code on $*"; }
# refuses LINE N ARGUMENTS...: the line once, by one rank
refuses() {
    local line=$1
    shift
    ranks "$@"
    [ $code -ne 0 ] && [ "$(grep -c '^variant train' err.txt)" -eq 1 ] && grep -qF -- "$line" err.txt || bad "not once \"$line\": $*"
    checks=$((checks + 1))
}
same() { cmp -s "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" && checks=$((checks + 1)) || bad "$1 and $2 have other bytes"; }
# near A B KIND BOUND: the norm of the difference over that of A's numbers, of those that begin with KIND
near() { python3 "$root/tests/near.py" "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" "$3" "$4" || bad "$1 and $2 are apart"; checks=$((checks + 1)); }

cat >noise.json <<'JSON'
{"seed": "T", "depth": 2, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
mkdir -p pictures/left pictures/right
"$variant" synth noise.json -o noise.safetensors >/dev/null
"$variant" generate -m noise.safetensors --class 0 -n 12 -o pictures/left/%02d.png >/dev/null 2>&1
"$variant" generate -m noise.safetensors --class 1 -n 12 -o pictures/right/%02d.png >/dev/null 2>&1
common="--data pictures -q -t 1 --log-every 2"
maps="tokenizer $common --side 8 --sides 1,2,3,4 --mult 1,1 --codes 16 --latent 8 --batch 8 --revive-after 4"

# ---- one step: each gradient is a sum over pictures whose order is another, which float32 rounds at 2^-24 a term. Terms cancel; that
# leaves 2^-24 times some tens. The moment after a step is a tenth of the gradient.
# shellcheck disable=SC2086
alone $maps --steps 1 -o one1
# shellcheck disable=SC2086
over 2 $maps --steps 1 -o two1
near one1 two1 training/m 1e-5
# ---- twelve, with codes that are revived: AdamW's step does not get smaller with the gradient, so a gradient that is rounding alone moves
# a weight as far as any; of all weights together it stays small
# shellcheck disable=SC2086
alone $maps --steps 12 -o one
# shellcheck disable=SC2086
over 2 $maps --steps 12 -o two
near one two model 5e-3
grep -q '"revived":[1-9]' two/log.jsonl || bad "no code was revived: nothing is known of that"
[ "$(wc -l <one/log.jsonl)" -eq "$(wc -l <two/log.jsonl)" ] || bad "not as many lines in the log"
grep -q '"ranks":2,"wire":"f32"' two/log.jsonl || bad "the log does not tell the ranks"
# shellcheck disable=SC2086
over 2 $maps --steps 12 -o whole --no-shard-optimizer
same two whole
# shellcheck disable=SC2086
over 4 $maps --steps 12 -o four
near one four model 5e-3
# ---- stopped and gone on with by as many: the same bytes; by others: as near as ever
# shellcheck disable=SC2086
over 2 $maps --steps 12 -o again --stop-after 5
# shellcheck disable=SC2086
over 2 $maps --steps 12 -o again --resume
same two again
# shellcheck disable=SC2086
over 4 $maps --steps 12 -o other --stop-after 5
# shellcheck disable=SC2086
over 2 $maps --steps 12 -o other --stop-after 9 --resume
# shellcheck disable=SC2086
alone $maps --steps 12 -o other --resume
near one other model 5e-3
# ---- what cannot be done
# shellcheck disable=SC2086
refuses "4 ranks for a batch of 2" 4 $maps --batch 2 --steps 1 -o none
# shellcheck disable=SC2086
refuses "a batch of 3 over 2 ranks in 2 slices: expected 1 to 1" 2 $maps --batch 3 --accumulate 2 --steps 1 -o none
# shellcheck disable=SC2086
refuses "rank 1 has seed 2, the first rank 1" 1 $maps --steps 1 -o none : -np 1 "$variant" train $maps --steps 1 -o none --seed 2
refuses "nowhere: no such folder" 2 tokenizer --data nowhere --steps 1 -o none
[ ! -e none/checkpoint.safetensors ] || bad "a refused training wrote"

# ---- the last rank gets a signal: all end within a minute, and what was saved is whole
cat >named.sh <<'END'
echo $$ >"pid.${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}"
exec "$@"
END
signalled() { # SIGNAL SECONDS
    rm -f pid.*
    # shellcheck disable=SC2086
    "${mpirun[@]}" -np 3 bash named.sh "$variant" train $maps --steps 1000000 --save-every 1 --restart -o "$1" >out.txt 2>err.txt &
    local job=$! began
    until [ -s "$1/checkpoint.safetensors" ] && [ -s pid.2 ]; do sleep 0.1; kill -0 $job 2>/dev/null || bad "ended by itself"; done
    kill "-$1" "$(cat pid.2)"
    began=$SECONDS
    while kill -0 $job 2>/dev/null && [ $((SECONDS - began)) -le "$2" ]; do sleep 0.1; done
    kill -0 $job 2>/dev/null && { kill -KILL "$(cat pid.0)" "$(cat pid.1)" "$(cat pid.2)"; bad "SIG$1: no end within $2 seconds"; }
    wait $job && bad "SIG$1: exit status 0"
    "$variant" inspect "$1/checkpoint.safetensors" >out2.txt 2>>err.txt || bad "SIG$1: the checkpoint is damaged"
    checks=$((checks + 1))
}
signalled KILL 30
grep -qE 'rank 2.*(signal 9|Killed)|KILLED BY SIGNAL: 9|EXIT CODE: 9' err.txt || bad "nobody says who was killed"
signalled INT 30
grep -q 'go on with:' err.txt || bad "Ctrl-C of one rank does not stop all"
[ "${2:-}" = --all ] || { echo "$checks checks"; exit 0; }

# ---- all kinds, and a rank that says nothing
signalled STOP 60
grep -q 'rank 2 of 3, on .*, has said nothing for 30 seconds' err.txt || bad "nobody says who is silent"
net="transformer $common --tokenizer one --depth 2 --width 32 --heads 1 --batch 8 --steps 8 --eval-every 4"
kinds=("$net" "supernet ${net#transformer} --depths 1 --bridge 1-2" "classifier $common --side 8 --width 32 --batch 8 --steps 8 --eval-every 4"
    "decoder $common --tokenizer one --size tiny --batch 8 --steps 8 --eval-every 4")
for kind in "${kinds[@]}"; do
    word=${kind%% *}
    # shellcheck disable=SC2086
    alone $kind -o "$word-one"
    # shellcheck disable=SC2086
    over 3 $kind -o "$word-three"
    near "$word-one" "$word-three" model 5e-3
    # shellcheck disable=SC2086
    over 3 $kind -o "$word-again" --no-shard-optimizer
    same "$word-three" "$word-again"
    # shellcheck disable=SC2086
    over 3 $kind -o "$word-bf16" --precision bf16 --wire bf16
    grep -qE '"wire":"bf16",.*"wire_error":0\.00[0-9]*[1-9]' "$word-bf16/log.jsonl" || bad "$word: no error of bf16 is told"
done
# shellcheck disable=SC2086
refuses "log_conflict" 2 ${kinds[1]} -o none --log-conflict 2
echo "$checks checks"
