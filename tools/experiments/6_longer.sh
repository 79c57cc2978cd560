#!/usr/bin/env bash
# Both paths with distillation for four epochs, beside a plain VAR trained on by the same: in batches of 64, distillation
# weighted 1, and by the program's default, in batches of 16 and weighted 4, which is how the transformer of
# models/fashion was trained. The subnets after more scales at full depth, too.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

# both NAME DISTILL BATCH LR LR_END WARMUP: the supernet and the plain VAR, trained and judged
both() {
    local net=default$1-seed2 plain=plain$1-seed2 distill=$2
    if [ $smoke = 0 ]; then
        local length=(--epochs 4) BATCH=$3 LR=$4 LR_END=$5 WARMUP=$6
    fi
    judged 6_longer "$plain" 2 full || from_base 6_longer "$plain" 2 --depths "$subnets" --fixed-ratio 0 --distill 0
    losses 6_longer "$plain" 2
    scores 6_longer "$plain" 2 full "$RUNS/6_longer/$plain" --depth "$LAYERS"
    supernet 6_longer "$net" 2 --depths "$subnets" --sandwich --distill "$distill"
    for bridge in $((BRIDGE + 1)) $((BRIDGE + 2)); do
        for depth in ${subnets//,/ }; do
            [ "$bridge" -lt "$SCALES" ] &&
                scores 6_longer "$net" 2 "depth$depth-bridge$bridge" "$RUNS/6_longer/$net" --depth "$depth" --bridge "$bridge"
        done
    done
    return 0
}
both 64 1 64 1e-3 3e-5 100
scores 6_longer default64-seed2 2 "depth$HALF-cfg2" "$RUNS/6_longer/default64-seed2" --depth "$HALF" --bridge "$BRIDGE" --cfg-scale 2
both 16 4 16 6e-4 2e-5 400
echo "results: $csv"
