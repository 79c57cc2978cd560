#!/usr/bin/env bash
# The commands that trained the model beside this file. RUNS is where runs and checkpoints go (not in the tree).
# Every one can be stopped with Ctrl-C; give --resume to this script to go on.
set -euo pipefail
variant=${VARIANT:-build/release/variant}
runs=${RUNS:-/tmp/fashion-runs}
data=/usr/share/datasets/fashion-mnist # package dataset-fashion-mnist

# train KIND FOLDER OPTIONS..: of the script's own words, --resume is for trainings that have begun
words=("$@")
train() {
    local kind=$1 folder=$2 word given=()
    shift 2
    for word in ${words[@]+"${words[@]}"}; do
        if [ "$word" != --resume ] || [ -e "$folder/checkpoint.safetensors" ]; then given+=("$word"); fi
    done
    "$variant" train "$kind" --data "$data" -o "$folder" "$@" ${given[@]+"${given[@]}"}
}

train tokenizer "$runs/tokenizer" --mult 1,2,2 --codes 256 --latent 16 \
    --sides 1,2,3,4,5,6,8 --epochs 2 --batch 16 --lr 1e-3 --warmup 200 --seed 1 \
    --log-every 50 --save-every 500 --eval-every 1500 --eval-count 500

train transformer "$runs/transformer" --tokenizer "$runs/tokenizer" \
    --token-cache "$runs/tokens.cache" --depth 12 --width 128 --heads 2 --precision bf16 \
    --epochs 6 --batch 64 --lr 1.5e-3 --lr-end 3e-5 --warmup 300 --seed 1 \
    --save-every 250 --eval-every 1000 # kept as models/fashion-base

train supernet "$runs/supernet" --tokenizer "$runs/tokenizer" --model "$runs/transformer/transformer.safetensors" \
    --token-cache "$runs/tokens.cache" --depths 6,3,2 --bridge 4-5 --sandwich --distill 4 --distill-end 2 \
    --precision bf16 --epochs 6 --batch 16 --lr 6e-4 --lr-end 2e-5 --warmup 400 --seed 2 \
    --log-every 200 --save-every 1500 --eval-every 1500

# how strongly the shallower branch guides at each depth: tools/experiments/7_guidance.sh
"$variant" convert "$runs/supernet" -o "$runs/half.safetensors" --type f16 --uncond-depth 2 --cfg-late 12:2.2,6:3,3:4

# As it was run: the machine was wanted elsewhere, so its length was planned anew three times, and the last plan was not run to its end.
# Every rate and every step is that of preview.log.jsonl. To train one, a single --steps 5000 does.
decoder() { # STEPS planned, STEP to stop after; a stretch that was done is passed over
    [ ! -e "$runs/decoder-$2" ] || return 0
    train decoder "$runs/decoder" --tokenizer "$runs/half.safetensors" --size small --batch 16 --lr 2e-3 --precision bf16 --seed 1 \
        --log-every 100 --save-every 250 --eval-every 2500 --eval-count 500 --steps "$1" --stop-after "$2" "${@:3}"
    touch "$runs/decoder-$2"
}
decoder 7500 1580
decoder 3600 3600 --resume
decoder 6000 4061 --resume
decoder 5000 4733 --resume
cp "$runs/decoder/model.safetensors" models/fashion/fashion.safetensors

train classifier "$runs/classifier" --epochs 12 --batch 64 --lr 2e-3 --crop 2 --flip --seed 1 \
    --log-every 200 --save-every 500

cp "$runs/classifier/classifier.safetensors" models/fashion/
