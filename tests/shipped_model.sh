#!/usr/bin/env bash
# The model in models/fashion: its size, its reconstruction of the Fashion-MNIST test set (24 dB at least over the
# 28 x 28 pixels), its classifier's accuracy there (92 % at least), and pictures at each depth it was trained for, the same for 1 and 2 threads and batches of 1 and 8.
#   tests/shipped_model.sh BUILD_FOLDER
set -euo pipefail
variant=$(cd "$1" && pwd)/variant
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
check() { # name, condition as arguments of [
    if [ "${@:2}" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL: $1: ${*:2}"; fi
}

check "at most 20 MB together" "$(du -sb models/fashion | cut -f1)" -le 20000000
"$variant" inspect models/fashion >"$out/inspect"
layers=$(grep -oE "depth [0-9]+" "$out/inspect" | head -1 | grep -oE "[0-9]+")
check "12 layers at least" "$layers" -ge 12
check "a supernet of three depths beside all layers" "$(grep -cE 'supernet +trained for depths ([0-9]+,? ?){3,}' "$out/inspect")" -eq 1

data=/usr/share/datasets/fashion-mnist
if [ -d $data ]; then
    "$variant" reconstruct -m models/fashion --data $data --count 1000 --json >"$out/psnr"
    centibels=$(grep -oE '"native_psnr":[[:space:]]*[0-9.]+' "$out/psnr" | grep -oE '[0-9.]+$' | awk '{ print int(100 * $1) }')
    check "PSNR over 28 x 28, hundredths of a dB" "$centibels" -ge 2400
    "$variant" classify -m models/fashion --data $data --json >"$out/classes"
    accuracy=$(grep -oE '"accuracy":[[:space:]]*[0-9.]+' "$out/classes" | grep -oE '[0-9.]+$' | awk '{ print int(10000 * $1) }')
    check "classifier on the test set, hundredths of a percent" "$accuracy" -ge 9200
else
    echo "SKIP: no Fashion-MNIST in $data (package dataset-fashion-mnist)"
fi

for depth in 12 6 3 2; do
    for variation in "1 8" "2 8" "2 1"; do
        read -r threads batch <<<"$variation"
        "$variant" generate -m models/fashion --class all -n 8 --depth $depth -t "$threads" --batch "$batch" \
            -o "$out/d${depth}_t${threads}_b${batch}_%02d.png" 2>"$out/stderr" >/dev/null
        check "no warning at depth $depth" ! -s "$out/stderr"
    done
    for i in 0 1 2 3 4 5 6 7; do
        one=$(sha256sum <"$out/d${depth}_t1_b8_0$i.png")
        check "depth $depth, picture $i, 1 and 2 threads" "$one" = "$(sha256sum <"$out/d${depth}_t2_b8_0$i.png")"
        check "depth $depth, picture $i, batch 8 and 1" "$one" = "$(sha256sum <"$out/d${depth}_t2_b1_0$i.png")"
    done
done
check "depths differ" "$(sha256sum <"$out/d12_t1_b8_00.png")" != "$(sha256sum <"$out/d2_t1_b8_00.png")"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
