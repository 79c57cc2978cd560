#!/usr/bin/env python3
"""cli_show.py - `variant generate --show` in pseudo terminals: what is drawn is read back from the bytes (terminal.py) and compared with the pictures
of -o and --save-scales. Called by tests/cli_show.sh in a folder of its own, where small.safetensors (6 x 6 pixels) and model.safetensors (32 x 32) are.
    tests/cli_show.py VARIANT yes|no          # was it built with chafa?"""
import glob
import json
import re
import subprocess
import sys

import pixels
import terminal

variant, chafa = sys.argv[1], sys.argv[2] == "yes"
checks = failures = 0
KITTY = {"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"}
ITERM = {"TERM_PROGRAM": "iTerm.app"}
DIRECT = {"COLORTERM": "truecolor"}
PLAIN = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}


def check(holds, message):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAIL: {message}")


def png(path):
    with open(path, "rb") as file:
        return pixels.png(file.read())


def generate(*words, model="model", **terminals):
    status, screen, seen, same = terminal.run([variant, "generate", "-m", f"{model}.safetensors", "-t", "1", *words], **terminals)
    check(same, f"{words}: the terminal is set otherwise than before")
    return status, screen, seen


def of_blocks(cells, row, column, width, height, colour=lambda rgb: rgb):
    """Do the cells from there on show this picture?"""

    def holds(picture):
        for y in range(0, height, 2):
            for x in range(width):
                letter, above, below = cells.get((row + y // 2, column + x), terminal.BLANK)
                if letter != "▀" or above != colour(picture.rgb(x, y)) or below != (colour(picture.rgb(x, y + 1)) if y + 1 < height else None):
                    return False
        return True

    return holds


def near_256(rgb):
    """The colours of 256 that are as near as can be."""
    levels = (0, 95, 135, 175, 215, 255)
    table = {16 + 36 * r + 6 * g + b: (levels[r], levels[g], levels[b]) for r in range(6) for g in range(6) for b in range(6)}
    table.update({232 + i: (8 + 10 * i,) * 3 for i in range(24)})
    return table[rgb] if isinstance(rgb, int) else min(sum((a - b) ** 2 for a, b in zip(rgb, one)) for one in table.values())


def is_report(screen, row):
    return screen.line(row).startswith("model ")


# ---- half blocks: a picture in 24 bits, growing in place, the report below; -o beside it

status, screen, seen = generate("--class", "1", "-s", "3", "--show", "-o", "one.png", "--save-scales", "scales", environment=DIRECT)
want = png("one.png")
scales = [png(path) for path in sorted(glob.glob("scales/*.png"))]
check(status == 0 and (want.width, want.height) == (32, 32), f"blocks: {status}, {screen.lines()}")
check(of_blocks(screen.cells, 0, 0, 32, 32)(want), "blocks: the picture on the screen is not the picture")
check(is_report(screen, 16) and screen.lines()[-1] == "", f"blocks: the report is not below the picture: {screen.lines()[16:18]}")
check(sum(cell[0] == "▀" for cell in screen.cells.values()) == 32 * 16, "blocks: more than the picture stands there")
check(len(screen.standing) == len(scales) - 1, f"blocks: drawn over {len(screen.standing)} times, not {len(scales) - 1}")
for i, cells in enumerate(screen.standing):
    check(of_blocks(cells, 0, 0, 32, 32)(scales[i]), f"blocks: scale {i + 1} on the screen is not its picture")
check("\x1b[?" not in seen.decode(), "blocks: a mode was set that is not set back")

# at the bottom of the screen, where all scrolls, and without a file
status, screen, seen = generate("--class", "1", "-s", "3", "--show", "-n", "3", size=(40, 22), environment=DIRECT)
check(status == 0 and "wrote" not in seen.decode() and not glob.glob("out*.png"), "--show alone wrote a file, or says so")
generate("--class", "1", "-s", "3", "-n", "3", "-o", "three.png")
for i in range(3):
    check(of_blocks(screen.cells, 16 * i, 0, 32, 32)(png(f"three_0{i}.png")), f"blocks: picture {i} of 3 in a narrow terminal")
check(is_report(screen, 48), "blocks: three pictures and the report")

# side by side as the width allows, small ones enlarged by whole factors, a batch after another
status, screen, seen = generate("-s", "4", "-n", "5", "--batch", "3", "--show", "-o", "five.png", model="small", size=(100, 30), environment=DIRECT)
five = [png(f"five_0{i}.png") for i in range(5)]
for i, picture in enumerate(five):  # 6 x 6 five times enlarged
    row, column = (0, 31 * i) if i < 3 else (15, 31 * (i - 3))
    check(of_blocks(screen.cells, row, column, 30, 30)(picture.zoomed(5)), f"blocks: picture {i} of five")
check(is_report(screen, 30), f"five pictures: {screen.lines()[28:32]}")

# too large for the screen: made smaller, in proportion, and nothing scrolls away while it grows
status, screen, seen = generate("--class", "1", "-s", "3", "--show", size=(12, 8), environment={**DIRECT})
blocks = [key for key, cell in screen.cells.items() if cell[0] == "▀"]
check(status == 0 and {row for row, _ in blocks} == set(range(5)) and {column for _, column in blocks} == set(range(10)), f"a small terminal: {screen.lines()}")
status, screen, seen = generate("--class", "1", "-s", "3", "--show", size=(5, 1), environment={**DIRECT})
check(status == 0 and any(cell[0] == "▀" for cell in screen.cells.values()), "a terminal of one line")

# 256 colours: as near as can be; none: shades of what is light
status, screen, seen = generate("--class", "1", "-s", "3", "--show", environment={"TERM": "rxvt-unicode-256color"})
check(status == 0 and b"38;2;" not in seen, "256 colours: 24 bits were sent")
far = 0
for y in range(32):
    for x in range(32):
        cell = screen.cells[y // 2, x]
        shown = near_256(cell[1 + y % 2])
        far += sum((a - b) ** 2 for a, b in zip(shown, want.rgb(x, y))) != near_256(want.rgb(x, y))
check(far == 0, f"256 colours: {far} pixels have a colour that is not the nearest")
status, screen, seen = generate("--class", "1", "-s", "3", "--show", environment={**DIRECT, "NO_COLOR": "1"})
luma = [[(19595 * r + 38470 * g + 7471 * b + 32768) >> 16 for r, g, b in (want.rgb(x, y) for x in range(32))] for y in range(32)]
shades = ["".join(" ░▒▓█"[((luma[2 * y][x] + luma[2 * y + 1][x]) * 4 + 255) // 510] for x in range(32)).rstrip() for y in range(16)]
check(status == 0 and b"\x1b[38" not in seen and b"\x1b[48" not in seen, "NO_COLOR: a colour was sent")
check([screen.line(row) for row in range(16)] == shades and len(set("".join(shades))) > 2, "NO_COLOR: other shades")

# ---- kitty and iTerm2: PNG

for name, environment in (("kitty", KITTY), ("iterm", ITERM)):
    status, screen, seen = generate("-s", "4", "-n", "2", "--show", "-o", "two.png", "--save-scales", "two", size=(80, 40), environment=environment)
    two = [png("two_00.png"), png("two_01.png")]
    count = len(glob.glob("two/00*.png"))
    check(status == 0 and len(screen.pictures) == 2 * count, f"{name}: {len(screen.pictures)} pictures, not {2 * count}")
    for i, placed in enumerate(screen.pictures):  # 32 pixels enlarged to 256: 26 cells of 10, 13 rows of 20
        scale = png(f"two/0{i % 2}_scale_{i // 2 + 1:02d}.png")
        check(placed.picture == scale.zoomed(8) and (placed.row, placed.column) == (0, 27 * (i % 2)), f"{name}: picture {i % 2} at scale {i // 2 + 1}")
    check([p.picture for p in screen.pictures[-2:]] == [one.zoomed(8) for one in two], f"{name}: the last ones are not the pictures")
    check(is_report(screen, 13), f"{name}: the report is not below the pictures: {screen.lines()}")
    if name == "kitty":
        ids = [p.keys["i"] for p in screen.pictures]
        check(ids[:2] * count == ids and ids[0] != ids[1] and "r" not in screen.pictures[0].keys, f"kitty: {ids}")
    else:
        check((screen.pictures[0].keys["width"], screen.pictures[0].keys["height"]) == ("26", "13"), f"iterm: {screen.pictures[0].keys}")
status, screen, seen = generate("-s", "4", "--show=kitty", measured=False)
check(status == 0 and screen.pictures[-1].keys["r"] == "13", "kitty: a terminal that does not tell its pixels is told the rows")
status, screen, seen = generate("-s", "4", "-n", "7", "--show", size=(60, 20), environment=KITTY, model="small")
check(status == 0 and len({p.keys["i"] for p in screen.pictures}) == 7, "kitty: each of seven pictures has a number")

# ---- sixel

generate("-s", "4", "-o", "six.png", "--save-scales", "six")
status, screen, seen = generate("-s", "4", "--show=sixel", "-o", "shown.png", size=(80, 40))
if chafa:
    want = png("six.png").zoomed(8)
    check(status == 0 and len(screen.pictures) == len(glob.glob("six/*.png")) and is_report(screen, 13), f"sixel: {status}, {screen.lines()}")
    shown = screen.pictures[-1].picture
    check(len(shown) == 258 and len(shown[0]) == 256, f"sixel: {len(shown[0])} x {len(shown)}, not 256 x 256 in rows of six")
    check(all(pixel is None for row in shown[256:] for pixel in row), "sixel: something is below the picture")
    apart = [abs(a - b) for y in range(256) for x in range(256) for a, b in zip(shown[y][x], want.rgb(x, y))]
    # noise that fills the cube of colours, in 256 of them: 6.3 levels a channel, which are 40 apart, is 10 on average
    check(sum(apart) / len(apart) < 12, f"sixel: {sum(apart) / len(apart):.2f} of 255 apart, {max(apart)} at most")
    sharp = all(shown[y][x] == shown[y // 8 * 8][x // 8 * 8] for y in range(256) for x in range(256))
    check(sharp, "sixel: the pixels of an enlarged picture are no squares of one colour")
    status, screen, seen = generate("-s", "4", "--show", size=(80, 40), environment={"TERM": "foot"})
    check(status == 0 and screen.pictures and b"\x1bP" in seen, "sixel: foot is known to take it")
    status, screen, seen = generate("-s", "4", "--show=sixel", size=(80, 4))
    check(status == 0 and len(screen.pictures[-1].picture) == 24, "sixel: a terminal of four lines")
else:
    check(status == 2 and "built without chafa" in seen.decode() and seen.count(b"\n") == 1, f"sixel without chafa: {seen}")
    print("SKIP sixel: built without chafa (libchafa-dev, libglib2.0-dev)")

# ---- which, and where

for environment, named in (({**ITERM, "TMUX": "/tmp/x,1,0"}, "tmux"), ({**KITTY, "TERM": "screen-256color"}, "screen"), ({}, "xterm")):
    status, screen, seen = generate("--show", model="small", environment=environment)
    check(status == 0 and not screen.pictures and "▀" in seen.decode(), f"{named}: half blocks")
for environment in ({"TERM": "dumb"}, {"TERM": ""}):
    status, screen, seen = generate("--show", model="small", environment=environment)
    check(status == 2 and seen.count(b"\n") == 1 and b"name how" in seen, f"{environment}: {seen}")
    status, screen, seen = generate("--show=blocks", model="small", environment=environment)
    check(status == 0 and "▀" in seen.decode() and not screen.standing, f"{environment}, named: {seen[:200]}")

# no terminal: an error, or the picture alone where it is said how
done = subprocess.run([variant, "generate", "-m", "small.safetensors", "--show"], capture_output=True, env=PLAIN)
check(done.returncode == 2 and done.stderr.count(b"\n") == 1 and not done.stdout, f"no terminal: {done}")
done = subprocess.run([variant, "generate", "-m", "model.safetensors", "-s", "4", "--show=kitty", "-o", "-"], capture_output=True, env=PLAIN)
check(done.returncode == 0 and pixels.png(done.stdout) == png("six.png"), "-o -: the standard output is not the PNG alone")
screen = terminal.Screen(80, 24)
screen.feed(done.stderr.replace(b"\n", b"\r\n"))
check(len(screen.pictures) == 1 and screen.pictures[0].picture == png("six.png").zoomed(8), "-o -: the picture is not on stderr")

# JSON goes to the standard output alone, pictures to the terminal that stderr is
status, screen, seen = generate("-s", "4", "--show", "--json", stdout="told.json", environment=DIRECT)
with open("told.json") as file:
    told = json.load(file)
check(status == 0 and told["pictures"] == 1 and "files" not in told, "--json")
check(of_blocks(screen.cells, 0, 0, 32, 32)(png("six.png")), "--json: the picture is not on the terminal")

# Ctrl-C while the first ones grow, and in the last scale of a later batch, where it may be heard only once the batch is drawn: the cursor is
# below, colours are off, one line says what there is
for moment, blocks in (("growing", 1), ("a later batch", 3)):
    stopped = "▀".encode() * blocks
    status, screen, seen = generate("-s", "4", "-n", "3000", "--batch", "2", "--show", environment=DIRECT, interrupt_after=stopped)
    lines = [line for line in screen.lines() if line]
    told = re.search(r"stopped, (\d+) of 3000 pictures are shown; the others: --first (\d+) -n (\d+)", "".join(lines[-2:]))
    check(status == 130 and seen.count(terminal.SETTLED) == 1, f"Ctrl-C, {moment}: {status}, {seen[-300:]}")
    check(told and int(told[1]) == int(told[2]) == 3000 - int(told[3]), f"Ctrl-C, {moment}: {lines[-2:]}")
    check(screen.colour == [None, None] and screen.column == 0, f"Ctrl-C, {moment}: {screen.colour}, column {screen.column}")

print(f"{checks - failures} passed, {failures} failed")
sys.exit(failures > 0)
