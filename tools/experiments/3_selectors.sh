#!/usr/bin/env bash
# Which layers a subnet keeps: rounded, or the first. Equidistant is 2_ratio's phases-seed1.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
for layers in rounded prefix; do
    supernet 3_selectors "$layers-seed1" 1 --depths "$subnets" --layers $layers "${phases[@]}" --distill 0
done
echo "results: $csv"
