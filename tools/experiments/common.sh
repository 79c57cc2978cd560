# common.sh - what the experiments share: where things are, runs that go on where they stopped, and
# one CSV that all results are appended to. Sourced by the scripts beside it.
#
#   RUNS=runs       folder of all runs: RUNS/EXPERIMENT/NAME, and RUNS/results.csv; what that holds already is
#                   skipped, so runs can be shared out to several machines or days by copying that file
#   BASE=FOLDER     the frozen full model that all start from (transformer and tokenizer); required
#   DATA=...        pictures (default: Fashion-MNIST as Debian installs it)
#   FEATURES=FILE   the classifier to judge by (default BASE/classifier.safetensors; none: no scores)
#   VARIANT=...     the program (default build/release/variant)
#   EPOCHS=1        of the data that a supernet is trained on after the base; BASE_EPOCHS=6: what the base had
#   LR=6e-4 LR_END=3e-5 WARMUP=50 BRIDGE=4 BATCH=64 SEEDS="1 2 3" PRECISION=bf16 THREADS=(all)
#   EVAL=10000      pictures a score; WEIGHTS=bf16: what they are drawn with
#
# Two scripts may run side by side (THREADS=1 each): that is faster than one on two threads.
#
#   --smoke         a minute: a tiny base of its own, a few steps, a few pictures, one seed
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VARIANT=${VARIANT:-$here/build/release/variant}
RUNS=${RUNS:-runs}
DATA=${DATA:-/usr/share/datasets/fashion-mnist}
EPOCHS=${EPOCHS:-1} BASE_EPOCHS=${BASE_EPOCHS:-6} BRIDGE=${BRIDGE:-4} BATCH=${BATCH:-64} SEEDS=${SEEDS:-1 2 3}
LR=${LR:-6e-4} LR_END=${LR_END:-3e-5} WARMUP=${WARMUP:-50}
EVAL=${EVAL:-10000} PRECISION=${PRECISION:-bf16} WEIGHTS=${WEIGHTS:-bf16} EVAL_BATCH=50
threads=()
if [ -n "${THREADS:-}" ]; then threads=(-t "$THREADS"); fi
smoke=0
for word in "$@"; do
    case $word in
    --smoke) smoke=1 ;;
    -h | --help)
        sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'
        exit 0
        ;;
    *)
        echo "$0: unknown option $word; there is --smoke, all else is set by variables (--help)" >&2
        exit 2
        ;;
    esac
done

fail() {
    echo "$0: $*" >&2
    exit 1
}

[ -x "$VARIANT" ] || fail "$VARIANT: no such program; build it, or set VARIANT"
length=(--epochs "$EPOCHS")
phases=(--phases --joint-end "$(python3 -c "print($EPOCHS / 6)")" --transition-end "$(python3 -c "print($EPOCHS * 2 / 3)")")
alone=(--epochs "$(python3 -c "print($BASE_EPOCHS + $EPOCHS)")" --lr 1.5e-3 --lr-end 3e-5 --warmup 300)
if [ $smoke = 1 ]; then
    RUNS=$RUNS/smoke SEEDS=1 EVAL=20 BATCH=4 PRECISION=f32 WEIGHTS=f32 EVAL_BATCH=8 threads=(-t 1)
    length=(--steps 2 --limit 16 --eval-count 4)
    phases=(--phases --joint-end 0.05 --transition-end 0.1)
    alone=(--steps 2 --limit 16 --eval-count 4)
    FEATURES=${FEATURES:-$here/models/fashion/classifier.safetensors}
    BASE=$RUNS/base
    if [ ! -e "$BASE/transformer.safetensors" ]; then
        "$VARIANT" train transformer --data "$DATA" --tokenizer "$here/models/fashion" -o "$BASE" -q "${threads[@]}" \
            --depth 8 --width 32 --heads 1 --steps 2 --batch 4 --limit 16 --eval-count 4 --restart >/dev/null
    fi
fi
[ -n "${BASE:-}" ] || fail "BASE is not set: the folder of the trained full model to start from"
FEATURES=${FEATURES:-$BASE/classifier.safetensors}
csv=$RUNS/results.csv
mkdir -p "$RUNS"
[ -s "$csv" ] || echo "experiment,run,seed,path,metric,value" >"$csv"

# layers and scales of the base
shape=$("$VARIANT" inspect "$BASE" --json | python3 -c '
import json, sys
model = json.load(sys.stdin)
print(model["transformer"]["depth"], model["tokenizer"]["scales"])')
read -r LAYERS SCALES <<<"$shape"
HALF=$((LAYERS / 2)) QUARTER=$((LAYERS / 4))

# judged EXPERIMENT NAME SEED: results.csv has all of it, from here or from elsewhere
judged() {
    for path in ${4:-full depth$HALF depth$QUARTER depth2}; do
        grep -q "^$1,$2,$3,$path,frechet," "$csv" || return 1
    done
}

# train EXPERIMENT NAME KIND ARGUMENTS..: a run in its own folder, gone on with when it was cut off
train() {
    local folder=$RUNS/$1/$2 kind=$3
    shift 3
    [ -e "$folder/done" ] && return
    local resume=()
    if [ -e "$folder/checkpoint.safetensors" ]; then resume=(--resume); fi
    mkdir -p "$folder"
    "$VARIANT" train "$kind" --data "$DATA" -o "$folder" --token-cache "$RUNS/tokens.cache" --batch "$BATCH" \
        --precision "$PRECISION" "${threads[@]}" "${resume[@]}" "$@" >/dev/null
    touch "$folder/done"
}

# losses EXPERIMENT NAME SEED: the last evaluation in the log, once
losses() {
    grep -q "^$1,$2,$3,full,loss," "$csv" && return
    python3 - "$RUNS/$1/$2/log.jsonl" "$1,$2,$3" >>"$csv" <<'PY'
import json, re, sys
last = None
for line in open(sys.argv[1]):
    line = json.loads(line)
    if line.get("evaluation"): last = line
for key, value in (last or {}).items():
    name = re.fullmatch(r"test_(?:(depth\d+|schedule\d+)_)?loss(?:_(depth\d+|schedule\d+))?(_by_scale)?", key)
    if not name: continue
    path = name[1] or name[2] or "full"
    if isinstance(value, list):
        for k, loss in enumerate(value): print(f"{sys.argv[2]},{path},loss_scale{k + 1},{loss}")
    else:
        print(f"{sys.argv[2]},{path},loss,{value}")
PY
}

# Experiments 1 to 6 were scored with both branches of guidance at the same depth; 7_guidance.sh leaves it to the model.
uncond=(--uncond-depth 0)

# scores EXPERIMENT NAME SEED PATH MODEL ARGUMENTS..: of generated pictures
scores() {
    local row=$1,$2,$3,$4 mark=$RUNS/$1/$2/scored-$4 model=$5
    shift 5
    [ -e "$FEATURES" ] || return 0
    grep -q "^$row,frechet," "$csv" && return
    mkdir -p "$(dirname "$mark")"
    if [ ! -e "$RUNS/reference.safetensors" ]; then # what is measured of the real pictures, once
        "$VARIANT" eval -m "$model" --reference "$DATA" --features "$FEATURES" -n 64 "${threads[@]}" --save-reference "$RUNS/reference.safetensors" \
            --json >/dev/null 2>&1
    fi
    "$VARIANT" eval -m "$model" --reference "$RUNS/reference.safetensors" --features "$FEATURES" -n "$EVAL" --seed 1 --weights "$WEIGHTS" \
        --batch "$EVAL_BATCH" "${threads[@]}" ${uncond[@]+"${uncond[@]}"} "$@" --json >"$mark.json"
    python3 - "$mark.json" "$row" >>"$csv" <<'PY'
import json, sys
def walk(node, name):
    if isinstance(node, bool): return
    if isinstance(node, (int, float)): print(f"{sys.argv[2]},{name},{node}")
    if isinstance(node, dict):
        for key, value in node.items(): walk(value, f"{name}.{key}" if name else key)
walk(json.load(open(sys.argv[1])).get("scores", {}), "")
PY
}

# depths EXPERIMENT NAME SEED MODEL: scores of the full path, half the layers, a quarter, two
depths() {
    losses "$1" "$2" "$3"
    scores "$1" "$2" "$3" full "$4" --depth "$LAYERS"
    for depth in $(printf '%s\n' $HALF $QUARTER 2 | sort -urn); do
        [ "$depth" -gt 0 ] && [ "$depth" -lt "$LAYERS" ] && scores "$1" "$2" "$3" "depth$depth" "$4" --depth "$depth" --bridge "$BRIDGE"
    done
    return 0
}

# from_base EXPERIMENT NAME SEED ARGUMENTS..: the base trained on
from_base() {
    local experiment=$1 name=$2 seed=$3
    shift 3
    echo "$experiment/$name"
    train "$experiment" "$name" supernet --model "$BASE" --bridge "$BRIDGE" "${length[@]}" \
        --lr "$LR" --lr-end "$LR_END" --warmup "$WARMUP" --seed "$seed" "$@"
}

# supernet EXPERIMENT NAME SEED ARGUMENTS..: trained from the base, then judged
supernet() {
    judged "$1" "$2" "$3" && return
    from_base "$@"
    depths "$1" "$2" "$3" "$RUNS/$1/$2"
}
subnets="$HALF,$QUARTER"
if [ "$QUARTER" -gt 2 ]; then subnets="$subnets,2"; fi
