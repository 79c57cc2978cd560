#!/usr/bin/env bash
# The commands that trained the model beside this file, on two cores. RUNS is where checkpoints go (not in the tree).
# Every command can be stopped with Ctrl-C and given again with --resume.
set -euo pipefail
variant=${VARIANT:-build/release/variant}
runs=${RUNS:-/tmp/fashion-runs}
data=/usr/share/datasets/fashion-mnist # package dataset-fashion-mnist

"$variant" train tokenizer --data $data -o "$runs/tokenizer" --epochs 2 --batch 16 --lr 1e-3 --warmup 200 \
    --mult 1,2,2 --codes 256 --latent 16 --sides 1,2,3,4,5,6,8 --log-every 50 --save-every 500 --eval-every 1500 \
    --eval-count 500 --seed 1 "$@"

"$variant" train transformer --data $data --tokenizer "$runs/tokenizer" -o "$runs/transformer" \
    --token-cache "$runs/tokens.cache" --epochs 1.6 --batch 32 --lr 1.5e-3 --lr-end 1e-4 --warmup 150 --depth 8 --width 128 \
    --heads 2 --log-every 50 --save-every 300 --sample-every 750 --eval-every 1500 --eval-count 300 --seed 1 "$@"
