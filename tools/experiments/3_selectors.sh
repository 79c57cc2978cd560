#!/usr/bin/env bash
# Which layers a subnet keeps: equidistant, rounded, or the first.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
for layers in equidistant rounded prefix; do
    supernet 3_selectors "$layers" 1 --depths "$subnets" --layers $layers
done
echo "results: $csv"
