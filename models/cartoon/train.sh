#!/usr/bin/env bash
# Trains the model of this folder: cartoons at 64x64 in colour, six classes. RUNS is where runs and checkpoints go, DATA the pictures
# (made where there are none, of the packages in PARTS), MODEL where the two files of the model go.
# Every training can be stopped with Ctrl-C; give --resume to this script to go on.
set -euo pipefail
variant=${VARIANT:-build/release/variant}
runs=${RUNS:-/tmp/cartoon-runs}
data=${DATA:-/tmp/cartoon}
parts=${PARTS:-/tmp/parts}
model=${MODEL:-models/cartoon}

# The packages are named where they are missing. No mirror images: all faces look the same way, and need not be learnt twice.
[ -d "$data/train" ] || tools/cartoon_pictures.py "$data" --packages "$parts" --train 4000 --test 300

# Two halvings: a 16x16 latent. With three (8x8, 155 tokens) drawings of thin lines stay 2.4 dB behind after as many pictures; sides that
# double keep it to 341 tokens.
"$variant" train tokenizer --data "$data" -o "$runs/tokenizer" --side 64 --mult 1,1,2 --codes 512 --latent 16 \
    --sides 1,2,4,8,16 --steps 6000 --batch 8 --lr 1e-3 --warmup 200 --precision bf16 --seed 1 -t 1 \
    --log-every 50 --save-every 250 --sample-every 250 --eval-every 2000 --eval-count 600 "$@"

"$variant" train transformer --data "$data" --tokenizer "$runs/tokenizer" -o "$runs/transformer" \
    --token-cache "$runs/tokens.cache" --depth 8 --width 128 --heads 2 \
    --steps 3800 --batch 16 --lr 1.5e-3 --lr-end 1e-4 --warmup 200 --precision bf16 --seed 1 -t 1 \
    --log-every 50 --save-every 200 --sample-every 400 --eval-every 950 --eval-count 300 "$@"

"$variant" train supernet --data "$data" --tokenizer "$runs/tokenizer" --model "$runs/transformer/transformer.safetensors" \
    -o "$runs/supernet" --token-cache "$runs/tokens.cache" --depths 4,2 --bridge 3 --layers equidistant --distill 4 --distill-end 2 \
    --steps 800 --batch 16 --lr 6e-4 --lr-end 2e-5 --warmup 50 --precision bf16 --seed 2 -t 1 \
    --log-every 50 --save-every 200 --eval-every 400 --eval-count 300 "$@"

mkdir -p "$model"
"$variant" convert "$runs/supernet" -o "$runs/half.safetensors" --type f16

"$variant" train decoder --data "$data" --tokenizer "$runs/half.safetensors" -o "$runs/decoder" --size small --steps 8000 --batch 8 --lr 2e-3 \
    --precision bf16 --seed 1 -t 1 --log-every 100 --save-every 250 --eval-every 4000 --eval-count 300 "$@"
cp "$runs/decoder/model.safetensors" "$model/cartoon.safetensors"

"$variant" train classifier --data "$data" -o "$runs/classifier" --side 64 --mult 1,2,4,4 --epochs 2 --batch 32 --lr 2e-3 \
    --crop 4 --flip --precision bf16 --seed 1 -t 1 --log-every 50 --save-every 250 "$@"

cp "$runs/classifier/classifier.safetensors" "$model/"
