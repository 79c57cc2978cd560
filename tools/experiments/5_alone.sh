#!/usr/bin/env bash
# Each depth as a transformer of its own, trained from nothing on as many pictures as the base and a
# supernet after it together: what sharing the weights costs or gives. For all
# layers that is 2_ratio's fixed0-seed1.
# SHAPE: the base's, but for its depth.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
SHAPE=${SHAPE:---width 128 --heads 2}
if [ $smoke = 1 ]; then SHAPE="--width 32 --heads 1"; fi
for depth in $(printf '%s\n' $HALF $QUARTER 2 | sort -urn); do
    name=depth$depth-seed1
    judged 5_alone "$name" 1 full && continue
    echo "5_alone/$name"
    # shellcheck disable=SC2086
    train 5_alone "$name" transformer --tokenizer "$BASE" --depth "$depth" $SHAPE "${alone[@]}" --seed 1
    losses 5_alone "$name" 1
    scores 5_alone "$name" 1 full "$RUNS/5_alone/$name" --depth "$depth"
done
echo "results: $csv"
