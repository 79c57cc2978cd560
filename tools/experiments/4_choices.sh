#!/usr/bin/env bash
# Distillation, how the subnet is drawn, both paths in one step, a range of bridges; what they are compared
# with is 2_ratio's phases-seed1.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
count=$(tr ',' '\n' <<<"$subnets" | wc -l)
weights=$(seq -s, 1 "$count")
supernet 4_choices distill1-seed1 1 --depths "$subnets" --distill 1
supernet 4_choices sandwich-seed1 1 --depths "$subnets" --sandwich
supernet 4_choices sandwich-distill1-seed1 1 --depths "$subnets" --sandwich --distill 1
supernet 4_choices weighted-seed1 1 --depths "$subnets" --draw weighted --draw-weights "$weights"
supernet 4_choices deepest-first-seed1 1 --depths "$subnets" --draw deepest-first
supernet 4_choices bridges-seed1 1 --depths "$subnets" --bridge $((BRIDGE - 1))-$((BRIDGE + 1))
echo "results: $csv"
