#!/usr/bin/env bash
# Distillation, how the subnet is drawn, both paths in one step, a range of bridges; what they are compared
# with is 2_ratio's phases-seed1. Both paths with distillation, the program's default, with three seeds, and in
# smaller batches: as many pictures, more steps.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
count=$(tr ',' '\n' <<<"$subnets" | wc -l)
weights=$(seq -s, 1 "$count")
default() { supernet 4_choices "sandwich-distill1-seed$1" "$1" --depths "$subnets"; }
default 1
supernet 4_choices distill1-seed1 1 --depths "$subnets" "${phases[@]}" --distill 1
supernet 4_choices sandwich-seed1 1 --depths "$subnets" --sandwich --distill 0
supernet 4_choices weighted-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --draw-weights "$weights"
supernet 4_choices deepest-first-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --draw deepest-first
supernet 4_choices bridges-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --bridge $((BRIDGE - 1))-$((BRIDGE + 1))
small=$((BATCH / 4 > 0 ? BATCH / 4 : 1))
for seed in $SEEDS; do
    if [ "$seed" != 1 ]; then default "$seed"; fi
    BATCH=$small WARMUP=$((WARMUP * 4)) supernet 4_choices "batch$small-seed$seed" "$seed" --depths "$subnets"
done
echo "results: $csv"
