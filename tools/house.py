#!/usr/bin/env python3
"""Draws docs/house.svg: the folders of src/ and cli/ as the rooms of a house, from what their files include.

    tools/house.py            # draws it
    tools/house.py --check    # fails unless it is as it would be drawn now
    tools/house.py --text     # the floors and what each room stands on, as text

A room stands on the floor above all that it includes. An arrow goes to each room that it stands on directly; where
another way leads there too, the arrow is left out, and the pills in a room name all that it includes. Lines are
told in round numbers: one that is within a tenth of the truth stays as it is drawn, so that not every change of the
code changes the picture (--fresh counts all anew). Nothing but Python's standard library, and no dates: the same
sources and the same round numbers give the same bytes.
"""
import argparse
import html
import itertools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GROUND = "include"

# What each room is for, and its colour (hue in degrees). A folder without an entry is an error.
ROOMS = {
    "include": ("variant.h and variant/, the public interface", 95),
    "core": ("status, memory, random numbers, threads, limits, clocks", 215),
    "io": ("files, tensors, checkpoints, pictures, data sets", 190),
    "dist": ("ranks: processes that train together", 40),
    "kern": ("the seam: one table of operations over buffers", 265),
    "kern/ref": ("plain C: what is correct", 265),
    "kern/cpu": ("threads, packed products", 265),
    "kern/cpu/isa": ("inner loops by instruction set", 265),
    "nn": ("parameters, layers, picture blocks, KV cache", 160),
    "supernet": ("which layers run at which scale", 45),
    "tokenizer": ("pictures to token maps and back", 330),
    "transformer": ("token maps to the next one's logits", 300),
    "engine": ("models, requests, the loop over scales", 10),
    "features": ("networks that pictures are judged by", 130),
    "convert": ("what model files hold; any of them to one file", 105),
    "planning": ("a budget to a schedule; what depth costs", 60),
    "train": ("from pictures to a model: the trainers", 25),
    "eval": ("scores, judges, sweeps and their reports", 175),
    "selftest": ("agreement with reference tensors", 240),
    "measure": ("times beside what the machine could do", 285),
    "serve": ("pictures over HTTP: scheduler, jobs, events", 80),
    "cli": ("the program: a file a command", 350),
}

# ---- what the sources say ----


def sources(root):
    """(room, path) of every C file; a room is a folder of src/, cli or include."""
    for top in ("include", "src", "cli"):
        for path in sorted((root / top).rglob("*.[ch]")):
            parts = path.relative_to(root).parts
            yield (parts[1] if top == "src" else top), path


def place_of(root, path):
    """The folder a file lies in, as ROOMS names it."""
    parts = path.relative_to(root).parts[:-1]
    return "/".join(parts[1:] if parts[0] == "src" else parts[:1])


def survey(root):
    """room -> rooms that it includes; place -> lines that are not blank."""
    stands_on, sizes = {}, {}
    for room, path in sources(root):
        text = path.read_text(encoding="utf-8")
        uses = stands_on.setdefault(room, set())
        for name in re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', text, re.M):
            if name == "variant.h" or name.startswith("variant/"):
                uses.add(GROUND)
            elif "/" in name and (root / "src" / name).is_file():
                uses.add(name.split("/")[0])
        place = place_of(root, path)
        sizes[place] = sizes.get(place, 0) + sum(1 for line in text.split("\n") if line.strip())
    for room, uses in stands_on.items():
        uses.discard(room)
    missing = sorted(set(sizes) - set(ROOMS))
    if missing:
        sys.exit(f"tools/house.py: say in ROOMS what {', '.join(missing)} is for")
    return stands_on, sizes


def below(stands_on, room, seen=()):
    """All that a room stands on, directly or not."""
    found = set()
    for other in stands_on[room]:
        if other in seen:
            sys.exit(f"tools/house.py: {room} and {other} include each other")
        found |= {other} | below(stands_on, other, (*seen, room))
    return found


def arrows(stands_on):
    """room -> what it stands on and nothing that it stands on does."""
    return {
        room: {other for other in uses if not any(other in below(stands_on, via) for via in uses)}
        for room, uses in stands_on.items()
    }


def floors_of(stands_on, direct):
    """room -> floor, 0 the ground: above what it stands on, and as near to those above it as costs no more."""
    floor = {}

    def lowest(room):
        if room not in floor:
            floor[room] = 1 + max((lowest(other) for other in stands_on[room]), default=-1)
        return floor[room]

    for room in stands_on:
        lowest(room)
    for room in sorted(stands_on, key=lambda each: (-floor[each], each)):
        users = [user for user in stands_on if room in direct[user]]
        if users and len(users) >= len(direct[room]) and room != GROUND:
            floor[room] = max(floor[room], min(floor[user] for user in users) - 1)
    return floor


# ---- who lies where on a floor ----


class Item:
    """A room, or a corridor that an arrow takes through a floor (room None)."""

    def __init__(self, room, floor):
        self.room, self.floor, self.ups, self.downs = room, floor, [], []
        self.x = self.width = 0.0

    @property
    def centre(self):
        return self.x + self.width / 2


def connect(direct, floor):
    """Items by floor, and each arrow as the items on its way down."""
    storeys = [[] for _ in range(1 + max(floor.values()))]
    rooms = {}
    for room in sorted(floor):
        rooms[room] = Item(room, floor[room])
        storeys[floor[room]].append(rooms[room])
    ways = []
    for room in sorted(direct):
        for other in sorted(direct[room]):
            way = [rooms[room]]
            for level in range(floor[room] - 1, floor[other], -1):
                way.append(Item(None, level))
                storeys[level].append(way[-1])
            way.append(rooms[other])
            for upper, lower in zip(way, way[1:]):
                upper.downs.append(lower)
                lower.ups.append(upper)
            ways.append(way)
    return storeys, ways


def spread(storey, width, gap, corridor):
    """Rooms of a floor share its width; corridors take what they need."""
    rooms = [item for item in storey if item.room]
    halls = len(storey) - len(rooms)
    share = (width - gap * (len(storey) - 1) - corridor * halls) / max(1, len(rooms))
    x = 0.0
    for item in storey:
        item.x, item.width = x, share if item.room else corridor
        x += item.width + gap


def cost(storeys):
    """Crossings, then how far arrows lean."""
    crossings, lean = 0, 0.0
    for storey in storeys:
        lines = [(upper.centre, lower.centre) for upper in storey for lower in upper.downs]
        lean += sum(abs(a - b) for a, b in lines)
        crossings += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(lines, 2))
    return crossings, round(lean, 3)


def arrange(storeys, width, gap, corridor):
    """The order of every floor that crosses least: each floor in turn tries all of its orders until none helps."""
    for storey in storeys:
        spread(storey, width, gap, corridor)
    best, better = cost(storeys), True
    while better:
        better = False
        for storey in storeys:
            kept = list(storey)
            for order in itertools.permutations(kept):
                storey[:] = order
                spread(storey, width, gap, corridor)
                now = cost(storeys)
                if now < best:
                    best, kept, better = now, list(order), True
            storey[:] = kept
            spread(storey, width, gap, corridor)


# ---- drawing ----

WIDTH, MARGIN, GAP, CORRIDOR = 880, 46, 26, 20
PAD, BETWEEN, APART, ROOF = 13, 46, 34, 112
FONT = "font-family=\"'DejaVu Sans',Verdana,'Segoe UI',system-ui,sans-serif\""
NARROW, WIDE = "ijltf.,:;'|!()/ ", "mwMW@%"


def text_width(text, size):
    """About what a sans-serif font of that size takes."""
    em = sum(0.34 if c in NARROW else 0.92 if c in WIDE else 0.68 if c.isupper() else 0.61 for c in text)
    return em * size


def wrap(text, size, width):
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def colour(room, light, strength=60):
    """A room's colour as #rrggbb, which every program that draws SVG knows."""
    hue, s, l = ROOMS[room][1] / 360, strength / 100, light / 100
    high = l * (1 + s) if l < 0.5 else l + s - l * s
    low = 2 * l - high

    def part(t):
        t %= 1
        if t < 1 / 6:
            return low + (high - low) * 6 * t
        if t < 1 / 2:
            return high
        if t < 2 / 3:
            return low + (high - low) * (2 / 3 - t) * 6
        return low

    return "#" + "".join(f"{round(255 * part(hue + k)):02x}" for k in (1 / 3, 0, -1 / 3))


def word(x, y, text, size, fill="#26303d", anchor="start", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{html.escape(text)}</text>'
    )


def box(x, y, width, height, fill, stroke, radius=8, thick=1.2):
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"'
        f' fill="{fill}" stroke="{stroke}" stroke-width="{thick}"/>'
    )


class House:
    def __init__(self, stands_on, sizes, said):
        self.stands_on, self.sizes, self.said = stands_on, sizes, said
        direct = arrows(stands_on)
        self.floor = floors_of(stands_on, direct)
        self.storeys, self.ways = connect(direct, self.floor)
        arrange(self.storeys, WIDTH, GAP, CORRIDOR)
        self.most = max(self.lines_of(room) for room in stands_on)
        self.out = []

    def lines_of(self, place):
        """Of a place with all below it."""
        return sum(self.told(each) for each in self.sizes if each == place or each.startswith(place + "/"))

    def told(self, place):
        """The round number of lines that the picture says: the one that it said before, while it is true."""
        lines, before = self.sizes[place], self.said.get(place, 0)
        if before and abs(before - lines) <= max(lines, before) / 10:
            return before
        step = 100 if lines >= 1000 else 10
        return max(step, (lines + step // 2) // step * step)

    def inner(self, room):
        return [each for each in ROOMS if each in self.sizes and each.startswith(room + "/")]

    # -- a room --

    def pills(self, item):
        """Rows of (name, x, width) within the room."""
        rows, x, most = [[]], 0.0, item.width - 2 * PAD
        uses = sorted(self.stands_on[item.room], key=lambda each: (self.floor[each], each))
        for name in uses:
            width = text_width(name, 10) + 12
            if x + width > most and rows[-1]:
                rows.append([])
                x = 0.0
            rows[-1].append((name, x, width))
            x += width + 5
        return [row for row in rows if row]

    def height(self, item):
        words = wrap(ROOMS[item.room][0], 12.5, item.width - 2 * PAD)
        rows = len(self.pills(item))
        return 34 + 17 * len(words) + (54 if self.inner(item.room) else 0) + 22 * rows + (8 if rows else 2)

    def room(self, item, y, height):
        room, x, width = item.room, item.x + MARGIN, item.width
        name = room if room in ("cli", GROUND) else f"src/{room}"
        lines = self.lines_of(room)
        out = self.out
        out.append(f'<g id="room-{room}" data-lines="{self.told(room)}">')
        out.append(box(x, y, width, height, colour(room, 96, 70), colour(room, 52, 45)))
        bar = max(3.0, (width - 2 * PAD) * lines / self.most)
        out.append(f'<rect x="{x + PAD:.1f}" y="{y + 28:.1f}" width="{bar:.1f}" height="3.5" rx="1.7" fill="{colour(room, 58, 55)}"/>')
        out.append(word(x + PAD, y + 21, name, 15.5, colour(room, 24, 45), weight="bold"))
        out.append(word(x + width - PAD, y + 20, f"{lines:,} lines", 11, "#5a6675", "end"))
        at = y + 46
        for line in wrap(ROOMS[room][0], 12.5, width - 2 * PAD):
            out.append(word(x + PAD, at, line, 12.5, "#3b4654"))
            at += 17
        at -= 9
        if self.inner(room):
            self.inner_rooms(item, at)
            at += 54
        for row in self.pills(item):
            for label, px, pw in row:
                out.append(box(x + PAD + px, at, pw, 16, colour(label, 88, 65), colour(label, 70, 45), 8, 0.8))
                out.append(word(x + PAD + px + pw / 2, at + 11.7, label, 10, colour(label, 24, 45), "middle"))
            at += 22
        out.append("</g>")

    def inner_rooms(self, item, y):
        places = self.inner(item.room)
        room, width = item.room, (item.width - 2 * PAD - 8 * (len(places) - 1)) / len(places)
        for i, place in enumerate(places):
            x = item.x + MARGIN + PAD + i * (width + 8)
            self.out.append(f'<g id="room-{place.replace("/", "-")}" data-lines="{self.told(place)}">')
            self.out.append(box(x, y, width, 46, "#ffffff", colour(room, 70, 40), 5, 1))
            name = place.split("/", 1)[1]
            self.out.append(word(x + 7, y + 15, name, 11, colour(room, 30, 45), weight="bold"))
            self.out.append(word(x + width - 7, y + 15, f"{self.told(place):,}", 10, "#5a6675", "end"))
            for k, line in enumerate(wrap(ROOMS[place][0], 9.5, width - 12)[:2]):
                self.out.append(word(x + 7, y + 28 + 11.5 * k, line, 9.5, "#3b4654"))
            self.out.append("</g>")

    # -- arrows --

    def ports(self):
        """(item, other, above) -> x where their arrow meets the item. Both ends of an arrow want the same x, so that it
        falls straight; each stays within its item and apart from its neighbours, in the order of the others."""
        sides = []
        for item in itertools.chain(*self.storeys):
            for others, above in ((item.ups, True), (item.downs, False)):
                if others:
                    ordered = sorted(others, key=lambda each: (each.centre, each.room or ""))
                    sides.append([(item, other, above) for other in ordered])
        where = {end: MARGIN + end[0].centre for side in sides for end in side}
        for _ in range(60):
            for side in sides:
                self.settle(side, where)
        return where

    def settle(self, side, where):
        """One side of an item: its ends go halfway to where the other ends of their arrows are."""
        item = side[0][0]
        edge = MARGIN + item.x
        apart = min(APART, item.width / (len(side) + 1))
        inset = min(1.5 * PAD, item.width / 2)
        for k, end in enumerate(side):
            _, other, above = end
            aim = (where[end] + where[other, item, not above]) / 2
            low, high = edge + inset + apart * k, edge + item.width - inset - apart * (len(side) - 1 - k)
            where[end] = min(max(aim, low), high)
        for before, end in zip(side, side[1:]):
            where[end] = max(where[end], where[before] + apart)
        for end, after in reversed(list(zip(side, side[1:]))):
            where[end] = min(where[end], where[after] - apart)

    def arrow(self, way, tops, heights, where):
        path = []
        for upper, lower in zip(way, way[1:]):
            x0, x1 = where[upper, lower, False], where[lower, upper, True]
            y0 = tops[upper.floor] + (heights[upper] if upper.room else 0)
            y1 = tops[lower.floor]
            if not upper.room:
                y0 = tops[upper.floor] + heights[upper.floor]
                path.append(f"L{x0:.1f} {y0:.1f}")
            else:
                path.append(f"M{x0:.1f} {y0:.1f}")
            end = y1 - 6 if lower.room else y1
            bend = (end - y0) / 2
            path.append(f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {end - bend:.1f} {x1:.1f} {end:.1f}")
        last = way[-1]
        x, y, fill = where[last, way[-2], True], tops[last.floor], colour(last.room, 46, 45)
        self.out.append(f'<path d="{"".join(path)}" fill="none" stroke="{fill}" stroke-width="1.8"/>')
        self.out.append(f'<path d="M{x:.1f} {y - 0.5:.1f}l-4.6 -8.5h9.2z" fill="{fill}"/>')

    # -- all of it --

    def draw(self):
        heights, tops, y = {}, {}, ROOF + 40.0
        for level in range(len(self.storeys) - 1, -1, -1):
            for item in self.storeys[level]:
                if item.room:
                    heights[item] = self.height(item)
            heights[level] = max(heights[item] for item in self.storeys[level] if item.room)
            for item in self.storeys[level]:
                heights[item] = heights[level]
            tops[level] = y
            y += heights[level] + BETWEEN
        total, full = y - BETWEEN + 22, WIDTH + 2 * MARGIN
        self.frame(full, total, tops[0] - BETWEEN / 2)
        where = self.ports()
        for way in self.ways:
            self.arrow(way, tops, heights, where)
        for level, storey in enumerate(self.storeys):
            for item in storey:
                if item.room:
                    self.room(item, tops[level], heights[item])
        body = "\n".join(self.out)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full} {total:.0f}" width="{full}" height="{total:.0f}" {FONT}>\n'
            "<title>The house: folders by what they include</title>\n"
            f"<!-- Made by tools/house.py of the includes of src/ and cli/. -->\n{body}\n</svg>\n"
        )

    def frame(self, full, total, ground):
        """Paper, walls, roof and what the signs mean."""
        wall, out = MARGIN - 22, self.out
        out.append(f'<rect width="{full}" height="{total:.0f}" fill="#ffffff"/>')
        out.append(f'<rect x="0" y="{ground:.1f}" width="{full}" height="{total - ground:.1f}" fill="{colour(GROUND, 93, 35)}"/>')
        out.append(f'<rect x="{full - wall - 150}" y="26" width="40" height="70" fill="#b9866f"/>')
        out.append(f'<rect x="{full - wall - 155}" y="20" width="50" height="11" rx="2" fill="#9c6b56"/>')
        out.append(box(wall, ROOF, full - 2 * wall, ground - ROOF, "#fbfaf7", "#c9c3b6", 0, 1.6))
        out.append(f'<path d="M4 {ROOF + 2}L{full / 2} 6L{full - 4} {ROOF + 2}z" fill="#c4785c" stroke="#9c5b43" stroke-width="1.6" stroke-linejoin="round"/>')
        out.append(word(full / 2, 56, "variant", 24, "#ffffff", "middle", "bold"))
        out.append(word(full / 2, 79, "arrows: what a room stands on", 12, "#fdeee6", "middle"))
        out.append(word(full / 2, 97, "pills: all that it includes \u00b7 bars: lines of code", 12, "#fdeee6", "middle"))


def said_before(path):
    """place -> lines that a picture tells."""
    if not path.is_file():
        return {}
    found = re.findall(r'<g id="room-([\w-]+)" data-lines="(\d+)">', path.read_text(encoding="utf-8"))
    return {name.replace("-", "/"): int(lines) for name, lines in found}


def tell(house):
    for level in range(len(house.storeys) - 1, -1, -1):
        for item in house.storeys[level]:
            if item.room:
                uses = sorted(house.stands_on[item.room], key=lambda each: (house.floor[each], each))
                print(f"{level}  {item.room:12s} {house.lines_of(item.room):6d} lines  {' '.join(uses)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail unless the picture is as it would be drawn")
    parser.add_argument("--text", action="store_true", help="say it instead")
    parser.add_argument("--fresh", action="store_true", help="count all lines anew")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT, help="the tree with include/, src/ and cli/")
    asked = parser.parse_args()
    picture = asked.folder / "docs" / "house.svg"
    house = House(*survey(asked.folder), {} if asked.fresh else said_before(picture))
    if asked.text:
        tell(house)
        return
    drawn = house.draw()
    if not asked.check:
        picture.write_text(drawn, encoding="utf-8")
    elif not picture.is_file() or picture.read_text(encoding="utf-8") != drawn:
        sys.exit("docs/house.svg is not what src/ and cli/ include now: run tools/house.py and look at it")


if __name__ == "__main__":
    main()
