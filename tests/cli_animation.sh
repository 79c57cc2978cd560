#!/usr/bin/env bash
# `variant generate --animate`: frames are the pictures of --save-scales, who knows no animations sees the finished one, settings are inside; several
# are numbered, sheets are one; nothing is left of a file that could not be written.
#   tests/cli_animation.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
: >err.txt
export PYTHONDONTWRITEBYTECODE=1
python=python3 # with Pillow, where one has it
python3 -c 'import PIL' 2>/dev/null || { [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import PIL' 2>/dev/null && python=/usr/bin/python3; }
frames() { "$python" "$root/tests/animation.py" "$@" >check.txt 2>&1 && ok || { cat check.txt >>err.txt; bad "frames of $1"; }; grep SKIP check.txt; }
refused() {
    local want=$1 words=$2
    shift 2
    "$variant" generate -m tiny.safetensors "$@" >out.txt 2>err.txt
    [ $? -eq "$want" ] && [ "$(wc -l <err.txt)" -eq 1 ] && grep -qF -- "$words" err.txt && ok || bad "not \"$words\" in one line: $*"
}

"$variant" synth "$root/tests/examples.json" -o tiny.safetensors >/dev/null 2>err.txt || bad synth
run generate -m tiny.safetensors --class 1 -s 3 -o one.png --save-scales scales --animate one_grows.png
grep -q "^wrote *one.png" out.txt && grep -q "^wrote *one_grows.png" out.txt && ok || bad "the report does not name both files"
frames one_grows.png 400 2000 0 scales/00_scale_0{1,2,3}.png
cmp -s one.png scales/00_scale_03.png && ok || bad "the last scale is not the picture"

# settings are inside like a PNG's, so that the animation makes the picture again
run generate -m tiny.safetensors --from one_grows.png -o again.png
cmp -s one.png again.png && ok || bad "--from an animation"

# alone, with other times
rm -f out.png
run generate -m tiny.safetensors --class 1 -s 3 --animate slow.png --delay 0.15 --hold 1s --loops 3
[ ! -e out.png ] && ok || bad "without -o, out.png was written"
frames slow.png 150 1000 3 scales/00_scale_0{1,2,3}.png

# several: numbered, also by batches; JSON names them
run generate -m tiny.safetensors -s 4 -n 3 --batch 2 --save-scales many --animate many_%03d.png --json
for i in 0 1 2; do frames many_00$i.png 400 2000 0 many/0${i}_scale_0{1,2,3}.png; done
"$python" - <<'P' 2>err.txt && ok || bad "--json does not name the animations"
import json
told = json.load(open("out.txt"))
assert told["animations"] == ["many_000.png", "many_001.png", "many_002.png"] and "files" not in told, told
P
run generate -m tiny.safetensors -s 4 -n 2 --animate plain.png -o both.png --json
grep -q '"files": \["both_00.png", "both_01.png"\], "animations": \["plain_00.png", "plain_01.png"\]' out.txt && ok || bad "--json with both: $(cat out.txt)"

# a sheet is one animation whose last frame is the sheet, also of depths
run generate -m tiny.safetensors -s 4 -n 6 --batch 4 --columns 3 --grid --zoom 2 -o sheet.png --animate sheet_grows.png
for k in 1 2; do # the sheets of fewer scales are those of --scales
    run generate -m tiny.safetensors -s 4 -n 6 --scales $k --columns 3 --grid --zoom 2 -o sheet_$k.png
done
frames sheet_grows.png 400 2000 0 sheet_1.png sheet_2.png sheet.png
run generate -m tiny.safetensors -s 4 -n 2 --bridge 1 --compare 5,1 -o depths.png --animate depths_grow.png
for k in 1 2; do run generate -m tiny.safetensors -s 4 -n 2 --bridge 1 --compare 5,1 --scales $k -o depths_$k.png; done
frames depths_grow.png 400 2000 0 depths_1.png depths_2.png depths.png
run generate -m tiny.safetensors -s 4 --scales 1 --animate short.png --save-scales short
frames short.png 400 2000 0 short/00_scale_01.png

# to the standard output; the report then goes to stderr
"$variant" generate -m tiny.safetensors --class 1 -s 3 --animate - >piped.png 2>err.txt && cmp -s piped.png one_grows.png && ok || bad "--animate -"

refused 2 "give --animate" --delay 1s
refused 2 "--delay 61: expected 1ms to 60s" --animate x.png --delay 61s
refused 2 "--hold" --animate x.png --hold 0.1ms
refused 2 "--loops -1" --animate x.png --loops -1
refused 2 "an animation is a PNG" --animate x.jpg
refused 2 "an animation is a PNG" --animate x.gif
refused 2 "an animation is a PNG" --animate x
refused 2 "--animate x_%s.png: expected at most one number" --animate x_%s.png
refused 2 "--animate -: the standard output takes one picture" -n 2 --animate -
refused 1 "no folder" --animate none/x.png
refused 2 "that is the picture's file" --animate x.png -o x.png
refused 2 "that is the animation" --animate x.png --tokens-out x.png
[ ! -e x.png ] && ok || bad "x.png was left behind"
(ulimit -f 0; "$variant" generate -m tiny.safetensors --animate full.png 2>&1 >/dev/null) | cat >err.txt
grep -q "full.png.*File too large" err.txt && [ "$(wc -l <err.txt)" -eq 1 ] && ok || bad "no one line of a full disk"
[ ! -e full.png ] && [ "$(find . -name '*.tmp' | wc -l)" -eq 0 ] && ok || bad "something was left of a file that could not be written"
if [ -w /dev/full ]; then
    "$variant" generate -m tiny.safetensors --animate /dev/full >out.txt 2>err.txt && bad "a full device" || { grep -q "No space" err.txt && ok || bad "a full device"; }
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
