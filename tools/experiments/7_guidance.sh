#!/usr/bin/env bash
# Guidance by a weaker version of the network itself: the unconditional branch on few layers in the late scales, and how strongly
# it then guides. Nothing is trained: MODEL (default models/fashion) is drawn from. First 2000 pictures of two seeds a row, to choose
# by; then EVAL of three. docs/GUIDANCE.md has the tables; `variant eval --seeds 1-3 --beside` shows one row beside another.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
MODEL=${MODEL:-$here/models/fashion}
uncond=()

# path DEPTH: its name in results.csv
path() { if [ "$1" = "$LAYERS" ]; then echo full; else echo "depth$1"; fi; }

# row DEPTH NAME ARGUMENTS..: every seed of SEEDS
row() {
    local depth=$1 name=$2
    shift 2
    for seed in $SEEDS; do
        scores 7_guidance "$name" "$seed" "$(path "$depth")" "$MODEL" --depth "$depth" --seed "$seed" "$@"
    done
}

# screen DEPTH U EARLY "LATE.." FURTHER..: t of the four scales of the bridge as by --cfg-scale 1.5, times EARLY; of the three after it as told
screen() {
    local depth=$1 few=$2 scales
    scales=$(python3 -c "print(','.join(f'{x:g}' for x in [*(t * $3 for t in (0, 0.25, 0.5, 0.75)), *map(float, '$4'.split())]))")
    shift 4
    row "$depth" "screen-u$few-${scales//,/_}${1:+-$2}" --uncond-depth "$few" --cfg-scales "$scales" "$@"
}

if [ $smoke = 0 ]; then
    (
        EVAL=2000 SEEDS="1 2"
        for depth in 12 6 3 2; do row "$depth" "screen-u$depth" --uncond-depth 0; done
        for depth in 12 6 3; do
            for x in 1 1.5 2.2 2.6 3 4; do screen "$depth" 2 1 "$(python3 -c "print($x, 1.25 * $x, 1.5 * $x)")"; done
            screen "$depth" 2 1 "2.5 2.5 2.5"
        done
        for x in 1.5 2.2 3 4; do screen 2 1 1 "$(python3 -c "print($x, 1.25 * $x, 1.5 * $x)")"; done
        for shape in "1.5 1.25 1" "0.75 1.25 2" "2 2 2" "3.5 3.5 3.5"; do screen 6 2 1 "$shape"; done
    )
fi
for depth in $(printf '%s\n' "$LAYERS" "$HALF" "$QUARTER" 2 | sort -urn); do
    [ "$depth" -gt 0 ] || continue
    row "$depth" same --uncond-depth 0
    row "$depth" default
done
