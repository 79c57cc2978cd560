#!/usr/bin/env bash
# A fixed chance of the subnet (0.1, 0.5, 1) against the three phases; three seeds each. With the chance 0
# the base is trained on as a plain VAR: what the full path of a supernet must be compared with. The agreement of both paths' gradients goes to each run's log.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
every=(--log-conflict 50)
if [ $smoke = 1 ]; then every=(--log-conflict 1); fi
for seed in $SEEDS; do
    for ratio in 0 0.1 0.5 1; do
        supernet 2_ratio "fixed$ratio-seed$seed" "$seed" --depths "$subnets" --fixed-ratio "$ratio" --distill 0 "${every[@]}"
    done
    supernet 2_ratio "phases-seed$seed" "$seed" --depths "$subnets" "${phases[@]}" --distill 0 "${every[@]}"
done
echo "results: $csv"
