#!/usr/bin/env bash
# edit_rows.sh - the tables of docs/EDITING.md: every way of keeping the rest of a picture, on three shapes of masks. Rows that are in
# OUT are not measured again, so it may be stopped and begun anew.
#   bench/edit_rows.sh OUT MODEL DATA REFERENCE SIDE COUNT [name=value ...]     (names of bench/edit.c; EDIT=build/release/bench/edit)
set -euo pipefail
[ $# -ge 6 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
out=$1 model=$2 data=$3 reference=$4 side=$5 count=$6
shift 6
here=$(cd "$(dirname "$0")/.." && pwd)
edit=${EDIT:-$here/build/release/bench/edit}
mkdir -p "$out"

row() { # NAME SHAPE words...
    local file=$out/$2.$1.json masks=$out/$2.idx
    [ -s "$masks" ] || python3 "$here/tools/edit_masks.py" "$2" "$side" -n "$count" -o "$masks"
    [ -s "$file" ] || { "$edit" "$model" "$data" "$reference" "$masks" "$count" "${@:3}" >"$file.tmp" && mv "$file.tmp" "$file"; }
}
for shape in centre half strokes; do
    row default $shape "$@"
    row replaced $shape "$@" codes=once keep=0.5 pull=0
    row not-blanked $shape "$@" fill=none
    row half-kept $shape "$@" keep=0.5 pull=0
    row whole-kept $shape "$@" keep=1 pull=0
    row original $shape original=1
done
python3 - "$out" <<'PY'
import json, os, sys
print("| mask | way | PSNR outside, before and after, dB | FID(classifier) | named right | across the edge : inside | CPU ms |")
print("| --- | --- | --- | --- | --- | --- | --- |")
for shape in ("centre", "half", "strokes"):
    for way in ("default", "replaced", "not-blanked", "half-kept", "whole-kept", "original"):
        path = f"{sys.argv[1]}/{shape}.{way}.json"
        if not os.path.exists(path):
            continue
        r = json.load(open(path))
        print(f"| {shape}, {100 * r['masked']:.0f} % | {way} | {r['psnr_before']:.2f}, {r['psnr_after']:.2f} | {r['frechet']:.3f} | "
              f"{100 * r['class_share']:.1f} % | {r['across']:.1f} : {r['inside']:.1f} = {r['across'] / r['inside']:.2f} | {r['cpu_ms']:.1f} |")
PY
