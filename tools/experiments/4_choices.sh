#!/usr/bin/env bash
# With and without distillation, how the subnet is drawn, both paths in one step, a range of bridges; the
# agreement of the gradients goes to each run's log. The default has three seeds.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
count=$(tr ',' '\n' <<<"$subnets" | wc -l)
weights=$(seq -s, 1 "$count")
every=(--log-conflict 100)
if [ $smoke = 1 ]; then every=(--log-conflict 1); fi
for seed in $SEEDS; do
    supernet 4_choices "default-seed$seed" "$seed" --depths "$subnets" "${every[@]}"
done
supernet 4_choices distill1 1 --depths "$subnets" "${every[@]}" --distill 1
supernet 4_choices weighted 1 --depths "$subnets" "${every[@]}" --draw weighted --draw-weights "$weights"
supernet 4_choices deepest-first 1 --depths "$subnets" "${every[@]}" --draw deepest-first
supernet 4_choices sandwich 1 --depths "$subnets" "${every[@]}" --sandwich
supernet 4_choices sandwich-distill1 1 --depths "$subnets" "${every[@]}" --sandwich --distill 1
supernet 4_choices bridges 1 --depths "$subnets" "${every[@]}" --bridge $((BRIDGE - 1))-$((BRIDGE + 1))
echo "results: $csv"
