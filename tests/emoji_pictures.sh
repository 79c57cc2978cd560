#!/usr/bin/env bash
# tools/emoji_pictures.py: what it reads of Unicode's list, which emoji are variants of one another, the split and the names of
# files; and, where the Debian packages that it draws from are installed, the folder that it writes.
#   tests/emoji_pictures.sh BUILD_FOLDER
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
import emoji_pictures as e

lines = """
# group: People & Body
1F44B 1F3FB        ; fully-qualified     # W E1.0 waving hand: light skin tone
1F468 200D 2708    ; minimally-qualified # P E4.0 man pilot
1F468 200D 2708 FE0F ; fully-qualified   # P E4.0 man pilot
# group: Component
1F3FB              ; fully-qualified     # T E1.0 light skin tone
# group: Flags
1F1E8 1F1EE        ; fully-qualified     # C E2.0 flag: Côte d’Ivoire
0023 FE0F 20E3     ; fully-qualified     # # E0.6 keycap: #
""".splitlines()
emoji = e.read_list(lines)
assert emoji == [("People & Body", (0x1F44B, 0x1F3FB), "waving hand: light skin tone"),
                 ("People & Body", (0x1F468, 0x200D, 0x2708, 0xFE0F), "man pilot"),
                 ("Flags", (0x1F1E8, 0x1F1EE), "flag: Côte d’Ivoire"),
                 ("Flags", (0x23, 0xFE0F, 0x20E3), "keycap: #")], emoji
assert e.file_name(*emoji[2][1:]) == "flag-cote-divoire_1f1e8-1f1ee.png", e.file_name(*emoji[2][1:])
assert e.file_name(*emoji[3][1:]) == "keycap_23-fe0f-20e3.png"


def points(text):
    return tuple(ord(character) for character in text)


for variants in (("👋", "👋🏻", "👋🏿"), ("🧑‍✈️", "👨‍✈️", "👩🏽‍✈️"), ("👮", "👮‍♂️", "👮🏿‍♀️"), ("🧑", "👩", "👨🏽‍🦰", "🧑‍🦲"),
                 ("👪", "👨‍👩‍👧‍👦", "👩‍👦", "🧑‍🧑‍🧒"), ("💏", "👩🏻‍❤️‍💋‍👨🏼"), ("💑", "👨‍❤️‍👨"), ("👭", "👬🏽", "🧑🏻‍🤝‍🧑🏼"),
                 ("🤝", "🫱🏻‍🫲🏼"), ("🎅", "🤶🏾", "🧑‍🎄"), ("🚶", "🚶🏽‍♀️‍➡️")):
    bases = {e.base_of(points(one)) for one in variants}
    assert len(bases) == 1, variants
different = ["👋", "👮", "🧑", "🧑‍✈️", "👪", "🧒", "♀", "♂", "➡️", "🇫🇷", "🇩🇪", "😀", "❤️"]
assert len({e.base_of(points(one)) for one in different}) == len(different)

# every third base of a group, whatever the number of its variants
pictures = [("a", (number, tone), "") for number in range(1, 8) for tone in e.TONES] + [("b", (number,), "") for number in (4, 5, 6)]
testing = [pictures[index][:2] for index in sorted(e.split(pictures, 3))]
assert testing == [("a", (number, tone)) for number in (3, 6) for tone in e.TONES] + [("b", (6,))], testing
PY

if ! $python -c "import fontTools, PIL" 2>/dev/null; then
    echo "SKIP: no python3-fonttools or no python3-pil: no pictures of emoji"
    exit 0
fi
if [ ! -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ] || [ ! -e /usr/share/unicode/emoji/emoji-test.txt ]; then
    echo "SKIP: no fonts-noto-color-emoji or no unicode-data: no pictures of emoji"
    exit 0
fi
tools/emoji_pictures.py "$out/none" --font "$out/none.ttf" 2>"$out/err" && fail "pictures without a font"
grep -q "package fonts-noto-color-emoji" "$out/err"
tools/emoji_pictures.py "$out/one" --side 16 --mirror >"$out/counts"
tools/emoji_pictures.py "$out/two" --side 16 --mirror >/dev/null
diff -r "$out/one" "$out/two"
[ "$(ls "$out/one/train" | wc -l) $(ls "$out/one/test" | wc -l)" = "9 9" ] || fail "not nine classes"
mirrored() { find "$@" -name '*_mirrored.png'; }
[ -n "$(mirrored "$out/one/train/Food & Drink")" ] || fail "nothing mirrored"
[ -z "$(mirrored "$out"/one/train/{Flags,Symbols} "$out/one/test")" ] || fail "mirrored what should not be"
# the same folder again, without mirror images: none is left over
tools/emoji_pictures.py "$out/one" --side 16 >/dev/null
[ -z "$(mirrored "$out/one")" ] || fail "mirror images are left over"
mkdir "$out/mine" && touch "$out/mine/letter"
tools/emoji_pictures.py "$out/mine" 2>"$out/err" && fail "wrote into a folder of others"
grep -q "not written by this script" "$out/err"

# classes by names with "&" and spaces, in the program
"$variant" train classifier --data "$out/one" -o "$out/classifier" --side 16 --mult 1,1 --steps 2 --batch 4 --eval-count 9 -q
"$variant" classify -m "$out/classifier" --data "$out/one" --json >"$out/classes"
grep -qF '"Smileys & Emotion"' "$out/classes"
echo "passed"
