#!/usr/bin/env bash
# Where does depth matter? The base, untrained as a supernet, runs half its layers, or two, in one zone of
# scales only; the other scales run everything. No training.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
third=$(((SCALES + 2) / 3))
scores 1_asymmetry base 0 full "$BASE" --depth "$LAYERS"
for zone in 0 1 2; do
    for few in $HALF 2; do
        list=
        for ((k = 0; k < SCALES; ++k)); do
            [ $((k / third)) = $zone ] && layers=$few || layers=$LAYERS
            list=$list${list:+,}$layers
        done
        echo "1_asymmetry: $list"
        scores 1_asymmetry base 0 "zone$((zone + 1))-depth$few" "$BASE" --depths "$list"
    done
done
echo "results: $csv"
