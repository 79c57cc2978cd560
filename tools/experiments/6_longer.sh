#!/usr/bin/env bash
# Both paths with distillation trained for longer, each beside a plain VAR trained on by the same: four epochs in batches of 64,
# distillation weighted 1; four and six in batches of 16, weighted 4; and six with the weight moved from 4 to 2 and the
# bridge drawn, which is the program's default and made the transformer of models/fashion. Some paths at other bridges and guidance, too; and, as the yardstick of sharing,
# single paths trained for nothing but themselves, for as many steps or for those that a supernet gives one of its three subnets.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

# of_64, of_16, six_epochs, two_epochs COMMAND..: runs it with pictures a step, epochs and rates of the group
of_64() { longer batch64 64 4 1e-3 3e-5 100 "$@"; }
of_16() { longer batch16 16 4 6e-4 2e-5 400 "$@"; }
six_epochs() { longer epochs6 16 6 6e-4 2e-5 400 "$@"; }
two_epochs() { longer epochs2 16 2 6e-4 2e-5 400 "$@"; }
longer() {
    local name=$1
    if [ $smoke = 0 ]; then
        local length=(--epochs "$3") BATCH=$2 LR=$4 LR_END=$5 WARMUP=$6
    fi
    shift 6
    "$@"
}

plain() {
    local run=$name-plain-seed2
    judged 6_longer "$run" 2 full || from_base 6_longer "$run" 2 --depths "$subnets" --fixed-ratio 0 --distill 0
    losses 6_longer "$run" 2
    scores 6_longer "$run" 2 full "$RUNS/6_longer/$run" --depth "$LAYERS"
}

# net NAME ARGUMENTS..: both paths a step
net() {
    local run=$name-$1-seed2
    shift
    supernet 6_longer "$run" 2 --depths "$subnets" --sandwich "$@"
}

# only DEPTH BRIDGE: that path trained alone, all layers at the scales of the bridge and so many after
only() {
    local depth=$1 BRIDGE=$2
    local run=$name-depth$depth-bridge$BRIDGE-seed2
    judged 6_longer "$run" 2 "depth$depth" ||
        from_base 6_longer "$run" 2 --depths "$depth" --fixed-ratio 1 --distill 0
    losses 6_longer "$run" 2
    scores 6_longer "$run" 2 "depth$depth" "$RUNS/6_longer/$run" --depth "$depth" --bridge "$BRIDGE"
    again "depth$depth-bridge$BRIDGE" "$BRIDGE" "$depth"
}

# later NAME FURTHER..: its subnets after so many more scales at full depth
later() {
    local run=$name-$1-seed2
    shift
    for further in "$@"; do
        local bridge=$((BRIDGE + further))
        [ "$bridge" -lt "$SCALES" ] || continue
        for depth in ${subnets//,/ }; do
            scores 6_longer "$run" 2 "$(path "$depth" "$bridge")" "$RUNS/6_longer/$run" --depth "$depth" --bridge "$bridge"
        done
    done
}

# path DEPTH BRIDGE: its name in results.csv
path() {
    if [ "$1" = "$LAYERS" ]; then
        echo full
    elif [ "$2" = "$BRIDGE" ]; then
        echo "depth$1"
    else
        echo "depth$1-bridge$2"
    fi
}

# guided NAME SCALE BRIDGE DEPTH..: the guidance another one than the default
guided() {
    local run=$name-$1-seed2 scale=$2 bridge=$3
    shift 3
    for depth in "$@"; do
        scores 6_longer "$run" 2 "$(path "$depth" "$bridge")-cfg$scale" "$RUNS/6_longer/$run" --depth "$depth" --bridge "$bridge" --cfg-scale "$scale"
    done
}

# again NAME BRIDGE DEPTH..: the same with other pictures drawn, to see how much of a score is the draw
again() {
    local run=$name-$1-seed2 bridge=$2
    shift 2
    for depth in "$@"; do
        for seed in 2 3; do
            scores 6_longer "$run" 2 "$(path "$depth" "$bridge")-draw$seed" "$RUNS/6_longer/$run" --depth "$depth" --bridge "$bridge" --seed "$seed"
        done
    done
}

of_64 plain
of_64 net distill1 --distill 1
of_64 later distill1 1 2
of_64 guided distill1 2 "$BRIDGE" "$HALF"
of_16 plain
of_16 net distill4 --distill 4
six_epochs plain
six_epochs again plain "$BRIDGE" "$LAYERS"
six_epochs net distill4 --distill 4
six_epochs net bridges --distill 4 --distill-end 2 --bridge "$BRIDGE-$((BRIDGE + 1))"
for recipe in distill4 bridges; do
    six_epochs later "$recipe" 1
    six_epochs again "$recipe" "$BRIDGE" "$LAYERS" "$HALF" "$QUARTER"
    six_epochs again "$recipe" $((BRIDGE + 1)) "$HALF" "$QUARTER"
done
six_epochs guided bridges 1.25 "$BRIDGE" "$LAYERS" ${subnets//,/ }
six_epochs guided bridges 1.25 $((BRIDGE + 1)) ${subnets//,/ }
six_epochs only "$HALF" "$BRIDGE"
six_epochs only "$QUARTER" "$BRIDGE"
six_epochs only "$HALF" $((BRIDGE + 1))
two_epochs only "$HALF" "$BRIDGE"
echo "results: $csv"
