#!/usr/bin/env bash
# The program's default for four epochs, which is how the transformer of models/fashion was trained, beside a plain VAR
# trained on as long; the subnets after more scales at full depth and with more guidance, too.
EPOCHS=${EPOCHS:-4} LR=${LR:-1e-3} WARMUP=${WARMUP:-100}
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
judged 6_longer plain-seed2 2 full || from_base 6_longer plain-seed2 2 --depths "$subnets" --fixed-ratio 0 --distill 0
losses 6_longer plain-seed2 2
scores 6_longer plain-seed2 2 full "$RUNS/6_longer/plain-seed2" --depth "$LAYERS"
supernet 6_longer default-seed2 2 --depths "$subnets"
for bridge in $((BRIDGE + 1)) $((BRIDGE + 2)); do
    for depth in ${subnets//,/ }; do
        [ "$bridge" -lt "$SCALES" ] &&
            scores 6_longer default-seed2 2 "depth$depth-bridge$bridge" "$RUNS/6_longer/default-seed2" --depth "$depth" --bridge "$bridge"
    done
done
scores 6_longer default-seed2 2 "depth$HALF-cfg2" "$RUNS/6_longer/default-seed2" --depth "$HALF" --bridge "$BRIDGE" --cfg-scale 2
echo "results: $csv"
