#!/usr/bin/env bash
# Distillation, how the subnet is drawn, both paths in one step, a range of bridges; what they are compared
# with is 2_ratio's phases-seed1. Both paths with distillation in smaller batches, too (as many pictures,
# more steps), where its weight is varied: weight 4 throughout, and the program's default, 4 moved to 2 with a bridge drawn
# from two, have three seeds.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
count=$(tr ',' '\n' <<<"$subnets" | wc -l)
weights=$(seq -s, 1 "$count")
supernet 4_choices distill1-seed1 1 --depths "$subnets" "${phases[@]}" --distill 1
supernet 4_choices sandwich-seed1 1 --depths "$subnets" --sandwich --distill 0
supernet 4_choices sandwich-distill1-seed1 1 --depths "$subnets" --sandwich --distill 1
supernet 4_choices weighted-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --draw-weights "$weights"
supernet 4_choices deepest-first-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --draw deepest-first
supernet 4_choices bridges-seed1 1 --depths "$subnets" "${phases[@]}" --distill 0 --bridge $((BRIDGE - 1))-$((BRIDGE + 1))

BATCH=$((BATCH / 4 > 0 ? BATCH / 4 : 1)) WARMUP=$((WARMUP * 4))
# small NAME SEED WEIGHT WEIGHT_AT_THE_END ARGUMENTS..
small() { supernet 4_choices "batch$BATCH-$1-seed$2" "$2" --depths "$subnets" --sandwich --distill "$3" --distill-end "$4" "${@:5}"; }
small distill1 1 1 1
small distill16 1 16 16
small distill4to1 1 4 1
for seed in $SEEDS; do
    small distill4 "$seed" 4 4
    small distill4to2-bridges "$seed" 4 2 --bridge "$BRIDGE-$((BRIDGE + 1))"
done
echo "results: $csv"
