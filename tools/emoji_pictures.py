#!/usr/bin/python3
"""emoji_pictures.py - a data set of small colour pictures out of what Debian ships: the emoji of Noto Color Emoji,
a class for each group of Unicode's list.

    apt-get install --no-install-recommends fonts-noto-color-emoji unicode-data python3-fonttools python3-pil
    tools/emoji_pictures.py /tmp/emoji
    tools/emoji_pictures.py /tmp/emoji --side 32 --tones

writes OUT_FOLDER/train/GROUP/NAME_CODEPOINTS.png and the same under test/, as `variant train --data OUT_FOLDER` reads
them: RGB, on white, the font's own frame of 136 x 128 centred in a square. Equal bitmaps (the flags of Norway and
Bouvet Island) are written once. The same packages give the same files.

The test split takes every Nth emoji of each group in the list's order, where an emoji is all its variants together:
skin tones, genders ("man cook", "woman cook", "cook"), hair and direction of one are either all in train or all in
test. Skin tone variants are left out unless --tones asks for them: they would make five of six pictures of people.
"""
import argparse
import importlib.util
import io
import os
import re
import unicodedata

from picture_folder import at_least, clear, fail, need_packages

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
LIST = "/usr/share/unicode/emoji/emoji-test.txt"
MARK = "emoji_pictures.txt"  # in a folder that this script wrote, and may write again

JOINER, PRESENTATION = 0x200D, 0xFE0F
TONES = range(0x1F3FB, 0x1F400)
# Joined to a person: gender, hair, and the way they face.
QUALITIES = {0x2640, 0x2642, *range(0x1F9B0, 0x1F9B4), 0x27A1, 0x2194, 0x2195}
PERSON, CHILD, FAMILY = 0x1F9D1, 0x1F9D2, 0x1F46A
# Code points that name a gender, and the one that names none or comes first.
NEUTRAL = {0x1F468: PERSON, 0x1F469: PERSON, 0x1F466: CHILD, 0x1F467: CHILD, 0x1F474: 0x1F9D3, 0x1F475: 0x1F9D3,
           0x1F934: 0x1FAC5, 0x1F478: 0x1FAC5, 0x1F57A: 0x1F483, 0x1F46B: 0x1F46D, 0x1F46C: 0x1F46D,
           0x1F385: 0x1F936, 0x1FAC3: 0x1F930, 0x1FAC4: 0x1F930}
# Sequences that are variants of a single code point: kiss, couple with heart, holding hands, handshake, Claus.
SAME = {(PERSON, 0x2764, 0x1F48B, PERSON): 0x1F48F, (PERSON, 0x2764, PERSON): 0x1F491, (PERSON, 0x1F91D, PERSON): 0x1F46D,
        (0x1FAF1, 0x1FAF2): 0x1F91D, (PERSON, 0x1F384): 0x1F936}
UNMIRRORED = ("Flags", "Symbols")  # a flag has its side of the pole, letters and arrows their way


def read_list(lines):
    """(group, code points, name) of every emoji in emoji-test.txt, in its order; without components."""
    group, found = None, []
    for line in lines:
        if line.startswith("# group:"):
            group = line.removeprefix("# group:").strip()
        match = re.match(r"([0-9A-F ]+?) *; fully-qualified *# \S+ E[0-9.]+ (.+)", line)
        if match and group != "Component":
            found.append((group, tuple(int(point, 16) for point in match[1].split()), match[2].strip()))
    return found


def has_tone(points):
    return any(point in TONES for point in points)


def base_of(points):
    """What is left of an emoji without skin tone, gender, hair and direction: the same for all its variants."""
    kept, joined = [], False
    for point in points:
        if point not in TONES and point != PRESENTATION and point != JOINER and not (joined and point in QUALITIES):
            kept.append(NEUTRAL.get(point, point))
        joined = point == JOINER
    if len(kept) > 1 and set(kept) <= {PERSON, CHILD}:
        return (FAMILY,)
    return (SAME[tuple(kept)],) if tuple(kept) in SAME else tuple(kept)


def split(pictures, test_every):
    """The indices of `pictures` (group, code points, name) that are for testing."""
    order, chosen = {}, set()
    for index, (group, points, _) in enumerate(pictures):
        bases = order.setdefault(group, {})
        number = bases.setdefault(base_of(points), len(bases))
        if number % test_every == test_every - 1:
            chosen.add(index)
    return chosen


def file_name(points, name):
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return f"{words}_{'-'.join(f'{point:x}' for point in points)}.png"


def load_libraries(options):
    """fontTools' TTFont and Pillow's Image; ends with a line that names Debian's packages where anything is missing."""
    def module(name):
        return importlib.util.find_spec(name) is not None

    need_packages([("fontTools", "python3-fonttools", module("fontTools")), ("Pillow", "python3-pil", module("PIL")),
                   (options.font, "fonts-noto-color-emoji", options.font != FONT or os.path.exists(FONT)),
                   (options.list, "unicode-data", options.list != LIST or os.path.exists(LIST))])
    from fontTools.ttLib import TTFont
    from PIL import Image
    return TTFont, Image


def open_list(path):
    try:
        with open(path, encoding="utf-8") as file:
            return read_list(file)
    except OSError as error:
        fail(f"{path}: {error.strerror}: install Debian's package unicode-data, or give --list")


class Bitmaps:
    """The PNG of a sequence of code points."""

    def __init__(self, path, TTFont):
        try:
            font = TTFont(path)
        except OSError as error:
            fail(f"{path}: {error.strerror}: install Debian's package fonts-noto-color-emoji, or give --font")
        if "CBDT" not in font:
            fail(f"{path}: no bitmaps (table CBDT); Debian's fonts-noto-color-emoji has them")
        self.characters = font.getBestCmap()
        self.glyphs = font["CBDT"].strikeData[0]
        self.ligatures = {}
        for lookup in font["GSUB"].table.LookupList.Lookup:
            for table in lookup.SubTable:
                for first, ligatures in getattr(table, "ligatures", {}).items():
                    for ligature in ligatures:
                        self.ligatures.setdefault((first, *ligature.Component), ligature.LigGlyph)

    def png(self, points):
        """None where the font has none."""
        glyphs = tuple(self.characters.get(point) for point in points if point != PRESENTATION)
        glyph = glyphs[0] if len(glyphs) == 1 else self.ligatures.get(glyphs)
        return self.glyphs[glyph].imageData if glyph in self.glyphs else None


def draw(png, side, Image):
    """The bitmap on white, its frame centred in a square (it keeps some 4 of 136 pixels free around the drawing)."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    square = Image.new("RGBA", (max(picture.size),) * 2, "white")
    corner = tuple((square.width - length) // 2 for length in picture.size)
    square.alpha_composite(picture, corner)
    return square.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def collect(emoji, bitmaps, tones):
    """[(group, code points, name)], their PNGs; equal bitmaps and, without `tones`, skin tones left out."""
    pictures, pngs, seen, without = [], [], set(), 0
    for group, points, name in emoji:
        if has_tone(points) and not tones:
            continue
        png = bitmaps.png(points)
        if png is None:
            without += 1
        elif png not in seen:
            seen.add(png)
            pictures.append((group, points, name))
            pngs.append(png)
    return pictures, pngs, without


def write(options, pictures, pngs, Image):
    """Counts by group: {group: [train, test, mirrored]}."""
    testing, counts = split(pictures, options.test_every), {}
    try:
        clear(options.out, MARK, "Written by tools/emoji_pictures.py from Noto Color Emoji (copyright Google Inc., SIL Open Font License 1.1).\n")
        for index, ((group, points, name), png) in enumerate(zip(pictures, pngs)):
            test = index in testing
            count = counts.setdefault(group, [0, 0, 0])
            folder = os.path.join(options.out, "test" if test else "train", group)
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, file_name(points, name))
            picture = draw(png, options.side, Image)
            picture.save(path)
            count[test] += 1
            if options.mirror and not test and group not in UNMIRRORED:
                picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path.replace(".png", "_mirrored.png"))
                count[2] += 1
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    return counts


def report(options, counts, without):
    titles = ["train", "test"] + ["mirrored"] * options.mirror
    print(f"{'':20}" + "".join(f"{title:>10}" for title in titles))
    rows = sorted(counts.items()) + [("all", [sum(column) for column in zip(*counts.values())])]
    for group, count in rows:
        print(f"{group:20}" + "".join(f"{number:10}" for number in count[:len(titles)]))
    if options.mirror:
        print("mirrored: copies of train's pictures, beside them; none of " + " and ".join(UNMIRRORED))
    if without:
        print(f"{without} emoji of the list are not in the font")


def main():
    parser = argparse.ArgumentParser(description="the emoji of Noto Color Emoji as a folder of pictures, a class a group of Unicode's list")
    parser.add_argument("out", metavar="OUT_FOLDER", help="new, empty, or written by this script before")
    parser.add_argument("--side", type=at_least(8), default=64, help="of the pictures (default %(default)s)")
    parser.add_argument("--test-every", type=at_least(2), default=10, metavar="N",
                        help="every Nth emoji of a group, with its variants, is for testing (default %(default)s)")
    parser.add_argument("--tones", action="store_true", help="with the variants of skin tone")
    parser.add_argument("--mirror", action="store_true",
                        help="beside each training picture its mirror image, except of " + " and ".join(UNMIRRORED))
    parser.add_argument("--font", default=FONT, help="default %(default)s")
    parser.add_argument("--list", default=LIST, help="default %(default)s")
    options = parser.parse_args()
    TTFont, Image = load_libraries(options)
    emoji = open_list(options.list)
    pictures, pngs, without = collect(emoji, Bitmaps(options.font, TTFont), options.tones)
    if not pictures:
        fail(f"{options.list}: none of its emoji is in {options.font}")
    report(options, write(options, pictures, pngs, Image), without)


if __name__ == "__main__":
    main()
