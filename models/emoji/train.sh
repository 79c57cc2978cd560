#!/usr/bin/env bash
# Trains the model of this folder: emoji at 64x64 in colour, nine classes. RUNS is where runs and checkpoints go, DATA the pictures
# (made where there are none), MODEL where the two files of the model go.
# Every training can be stopped with Ctrl-C; give --resume to this script to go on.
set -euo pipefail
variant=${VARIANT:-build/release/variant}
runs=${RUNS:-/tmp/emoji-runs}
data=${DATA:-/tmp/emoji}
model=${MODEL:-models/emoji}

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

# Mirror images as files, and no --flip for the transformer: it would turn flags, letters and arrows too.
[ -d "$data/train" ] || tools/emoji_pictures.py "$data" --side 64 --mirror

# Three halvings: 8x8 latent, 155 tokens a picture as in models/fashion. A 16x16 latent (--mult 1,2,4) would take sides up to
# 16 and 480 tokens or more, three times the transformer's work. The first level is most of the tokenizer's work; the second is
# kept as narrow.
train tokenizer "$runs/tokenizer" --side 64 --mult 1,1,2,4 --codes 256 --latent 16 \
    --sides 1,2,3,4,5,6,8 --epochs 10 --batch 8 --lr 1e-3 --warmup 200 --flip --precision bf16 --seed 1 \
    --log-every 50 --save-every 250 --sample-every 500 --eval-every 500 --eval-count 0

train transformer "$runs/transformer" --tokenizer "$runs/tokenizer" \
    --token-cache "$runs/tokens.cache" --depth 8 --width 128 --heads 2 \
    --epochs 6 --batch 16 --lr 1.5e-3 --lr-end 1e-4 --warmup 100 --precision bf16 --seed 1 \
    --log-every 50 --save-every 250 --sample-every 500 --eval-every 250 --eval-count 0

train supernet "$runs/supernet" --tokenizer "$runs/tokenizer" --model "$runs/transformer/transformer.safetensors" \
    --token-cache "$runs/tokens.cache" --depths 4,2 --bridge 4 --layers equidistant --distill 4 \
    --epochs 2 --batch 16 --lr 6e-4 --lr-end 3e-5 --warmup 50 --precision bf16 --seed 2 \
    --log-every 50 --save-every 250 --eval-every 75 --eval-count 0

mkdir -p "$model"
"$variant" convert "$runs/supernet" -o "$model/emoji.safetensors" --type f16

train classifier "$runs/classifier" --side 64 --mult 1,2,4,4 --epochs 10 --batch 32 --lr 2e-3 \
    --crop 4 --flip --precision bf16 --seed 1 --log-every 50 --save-every 250

cp "$runs/classifier/classifier.safetensors" "$model/"
