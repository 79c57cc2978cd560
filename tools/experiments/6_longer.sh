#!/usr/bin/env bash
# Both paths with distillation for four epochs, beside a plain VAR trained on by the same: in batches of 64, distillation
# weighted 1; and in batches of 16, weighted 4, which is the program's default, or 4 moved to 1. The subnets after more
# scales at full depth, too. Which of these the transformer of models/fashion is, its card says.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

# of_64, of_16 COMMAND..: runs it with batches of so many pictures
of_64() { longer 64 1e-3 3e-5 100 "$@"; }
of_16() { longer 16 6e-4 2e-5 400 "$@"; }
longer() {
    local name=batch$1
    if [ $smoke = 0 ]; then
        local length=(--epochs 4) BATCH=$1 LR=$2 LR_END=$3 WARMUP=$4
    fi
    shift 4
    "$@"
}

plain() {
    local run=$name-plain-seed2
    judged 6_longer "$run" 2 full || from_base 6_longer "$run" 2 --depths "$subnets" --fixed-ratio 0 --distill 0
    losses 6_longer "$run" 2
    scores 6_longer "$run" 2 full "$RUNS/6_longer/$run" --depth "$LAYERS"
}

# net WEIGHT WEIGHT_AT_THE_END NAME
net() {
    local run=$name-$3-seed2
    supernet 6_longer "$run" 2 --depths "$subnets" --sandwich --distill "$1" --distill-end "$2"
    for bridge in $((BRIDGE + 1)) $((BRIDGE + 2)); do
        for depth in ${subnets//,/ }; do
            [ "$bridge" -lt "$SCALES" ] &&
                scores 6_longer "$run" 2 "depth$depth-bridge$bridge" "$RUNS/6_longer/$run" --depth "$depth" --bridge "$bridge"
        done
    done
    return 0
}

more_guidance() {
    scores 6_longer "$name-distill1-seed2" 2 "depth$HALF-cfg2" "$RUNS/6_longer/$name-distill1-seed2" --depth "$HALF" --bridge "$BRIDGE" --cfg-scale 2
}

of_64 plain
of_64 net 1 1 distill1
of_64 more_guidance
of_16 plain
of_16 net 4 4 distill4
of_16 net 4 1 distill4to1
echo "results: $csv"
