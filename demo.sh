#!/usr/bin/env bash
# Installs what is missing, builds, and makes pictures at several depths from the model in models/fashion. Results: out/.
set -euo pipefail
cd "$(dirname "$0")"

tools/install-deps.sh
cmake --preset release >/dev/null
cmake --build --preset release --target variant
variant=build/release/variant
model=models/fashion
mkdir -p out
field() { sed -nE "s/.*\"$1\": \"?([0-9.,]*[0-9]).*/\1/p" out/report.json; }

depths="12 6 3 2" # what the shipped supernet was trained for; 12 is all of it

echo
echo "One model file, 100 pictures (ten at a time, one of each class) at each depth of the late scales:"
printf '%-8s %-24s %12s %14s %14s %12s\n' depth "layers by scale" "ms/picture" "kv, ten" "kv at end" "peak memory"
for depth in $depths; do
    "$variant" generate -m "$model" --class all -n 100 --batch 10 --depth "$depth" --grid --zoom 2 -s 1 \
        -o "out/fashion_depth_$depth.png" --json >out/report.json
    printf '%-8s %-24s %12.2f %14s %14s %9.1f MB\n' "$depth" "$(field depths)" \
        "$(awk -v t="$(field total_ms)" 'BEGIN { print t / 100 }')" "$(field kv_peak_bytes)" "$(field kv_end_bytes)" \
        "$(awk -v b="$(field peak_rss_bytes)" 'BEGIN { print b / 1e6 }')"
done
rm -f out/report.json

echo
"$variant" generate -m "$model" --class all -n 20 --batch 10 --compare "${depths// /,}" --zoom 2 -s 1 -o out/demo.png
echo "sheets of ten pictures a class: out/fashion_depth_*.png"

echo
echo "A real size, VAR-d16 at 256x256 (310 M parameters), on SYNTHETIC weights: time and memory are real, pictures would be noise."
"$variant" bench --arch var-d16 --weights bf16 --bridge 6 --compare 16,8,4,2 --repeat 1
