#!/usr/bin/env bash
# A fixed chance of the subnet (0.1, 0.5, 1) against the three phases; three seeds each.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
for seed in $SEEDS; do
    for ratio in 0.1 0.5 1; do
        supernet 2_ratio "fixed$ratio-seed$seed" "$seed" --depths "$subnets" --fixed-ratio $ratio
    done
    supernet 2_ratio "phases-seed$seed" "$seed" --depths "$subnets"
done
echo "results: $csv"
