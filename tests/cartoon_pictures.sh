#!/usr/bin/env bash
# tools/cartoon_pictures.py: which parts a picture has, the split, the order of layers, and what it says of missing packages; and, where
# the packages of PyPI that it draws from are installed (PARTS: the folder that pip put them in), the folder that it writes.
#   tests/cartoon_pictures.sh BUILD_FOLDER
set -euo pipefail
variant=$(cd "$1" && pwd)/variant
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
[ -x $python ] || { echo "SKIP: no $python"; exit 0; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

$python - <<'PY'
import sys
sys.path.insert(0, "tools")
import cartoon_pictures as c

# The same on every machine: pictures of a published model are found again by it.
assert c.chance("cat", 7, "00body") == 2677732213823531373, c.chance("cat", 7, "00body")
parts = {"body": range(12), "fur": range(10), "eyes": "abc"}
chosen = c.choose("cat", parts, ("body", "fur"), {"train": 150, "test": 20})
assert chosen == c.choose("cat", parts, ("body", "fur"), {"train": 150, "test": 20})
assert (len(chosen["train"]), len(chosen["test"])) == (150, 20)
pictures = [tuple(one.values()) for split in chosen.values() for one in split]
assert len(set(pictures)) == len(pictures), "a picture twice"
pairs = {split: {(one["body"], one["fur"]) for one in ones} for split, ones in chosen.items()}
assert not pairs["train"] & pairs["test"], "a pair in both splits"
assert {one["eyes"] for one in chosen["train"]} == set("abc")
# More pictures begin with the fewer.
more = c.choose("cat", parts, ("body", "fur"), {"train": 160, "test": 20})
assert more["train"][:150] == chosen["train"]
try:
    c.choose("cat", parts, ("body", "fur"), {"train": 400, "test": 20})
except SystemExit as error:
    assert "only" in str(error) and "of 400 asked for" in str(error), error
else:
    raise AssertionError("400 of fewer pictures")
PY

tools/cartoon_pictures.py "$out/none" --packages "$out" 2>"$out/err" && fail "pictures without packages"
if $python -c "import PIL" 2>/dev/null && command -v rsvg-convert >/dev/null; then
    for package in robohash==2.0 python_avatars==1.4.1 animal_avatar==0.0.5; do
        grep -q "pip install .*$package" "$out/err" || fail "a line without $package: $(cat "$out/err")"
    done
else
    grep -q "apt-get install .*\(python3-pil\|librsvg2-bin\)" "$out/err" || fail "no package named: $(cat "$out/err")"
fi
if ! $python -c "import PIL" 2>/dev/null; then
    echo "SKIP: no python3-pil: no cartoons"
    exit 0
fi

# Layers by the number after the sign, in any order of folders; a colour is one folder for all parts.
$python - "$out" <<'PY'
import os
import sys
sys.path[:0] = ["tools", sys.argv[1]]
from PIL import Image
import cartoon_pictures as c
for colour, body in (("blue", (0, 0, 255, 255)), ("red", (255, 0, 0, 255))):
    for part, box, paints in (("000#02Face", (2, 2, 6, 6), [(0, 255, 0, 255), (9, 9, 9, 255)]), ("001#01Body", (0, 0, 8, 8), [body])):
        folder = os.path.join(sys.argv[1], "robohash", "sets", "set1", colour, part)
        os.makedirs(folder)
        for number, paint in enumerate(paints):
            layer = Image.new("RGBA", (8, 8))
            layer.paste(paint, box)
            layer.save(os.path.join(folder, f"{number}.png"))
open(os.path.join(sys.argv[1], "robohash", "__init__.py"), "w").close()
layers = c.Layers("set1", coloured=True)
assert layers.parts == {"01Body": range(1), "02Face": range(2), "colour": ["blue", "red"]}, layers.parts
picture = layers.draw({"01Body": 0, "02Face": 0, "colour": "red"}, 8, Image)
assert picture.mode == "RGB" and picture.size == (8, 8)
centre, corner = picture.getpixel((4, 4)), picture.getpixel((0, 0))
assert centre[1] > 200 > 60 > centre[0] and corner[0] > 200 > 60 > corner[1], (centre, corner)
PY

mkdir "$out/mine" && touch "$out/mine/letter"
packages=${PARTS:-}
if ! $python -c 'import importlib.util as u, sys
sys.path.insert(0, sys.argv[1])
sys.exit(not all(u.find_spec(name) for name in ("robohash", "python_avatars", "animal_avatar")))' "$packages"; then
    echo "SKIP: no robohash, python_avatars or animal_avatar (PARTS=FOLDER): no whole data set"
    exit 0
fi
tools/cartoon_pictures.py "$out/mine" --packages "$packages" 2>"$out/err" && fail "wrote into a folder of others"
grep -q "not written by this script" "$out/err"
tools/cartoon_pictures.py "$out/one" --packages "$packages" --side 16 --train 6 --test 2 >/dev/null
tools/cartoon_pictures.py "$out/two" --packages "$packages" --side 16 --train 6 --test 2 --jobs 1 >/dev/null
diff -r "$out/one" "$out/two"
[ "$(find "$out/one/train" -name '*.png' | wc -l) $(find "$out/one/test" -name '*.png' | wc -l)" = "36 12" ] || fail "not 36 and 12 pictures"
# the same folder again with fewer: none is left over
tools/cartoon_pictures.py "$out/one" --packages "$packages" --side 16 --train 2 --test 1 >/dev/null
[ "$(find "$out/one" -name '*.png' | wc -l)" -eq 18 ] || fail "pictures are left over"
"$variant" train classifier --data "$out/two" -o "$out/classifier" --side 16 --mult 1,1 --steps 2 --batch 4 --eval-count 6 -q
"$variant" classify -m "$out/classifier" --data "$out/two" --json >"$out/classes"
grep -qF '"robot-head"' "$out/classes"
echo "passed"
