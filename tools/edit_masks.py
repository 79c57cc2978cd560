#!/usr/bin/env python3
"""Masks of edits, always the same: white is drawn again.

    tools/edit_masks.py centre 32 -o centre.png            one mask of 32 x 32
    tools/edit_masks.py strokes 64 -n 1800 -o strokes.idx  one a picture, an IDX file of bytes (N, 64, 64)

centre: a square of half the side in the middle. half: the right half. strokes: three to five strokes of a brush an eighth of the
side wide, each of four straight pieces; they depend on the mask's number alone. Standard library alone."""
import argparse
import hashlib
import struct
import zlib


def numbers(index):
    """Whole numbers below 2^32 without end, of the mask's number."""
    block = 0
    while True:
        yield from struct.unpack("<8I", hashlib.sha256(f"stroke {index} {block}".encode()).digest())
        block += 1


def strokes(side, index):
    draw = numbers(index)
    unit = lambda: next(draw) / 2**32
    brush, points = side / 16, []
    for _ in range(3 + next(draw) % 3):
        x, y = unit() * side, unit() * side
        for _ in range(4):
            u = min(max(x + (unit() - 0.5) * side, 0), side - 1)
            v = min(max(y + (unit() - 0.5) * side, 0), side - 1)
            steps = int(max(abs(u - x), abs(v - y))) + 1
            points += [(x + (u - x) * i / steps, y + (v - y) * i / steps) for i in range(steps + 1)]
            x, y = u, v
    mask = bytearray(side * side)
    reach = int(brush) + 1
    for x, y in points:
        for j in range(max(int(y) - reach, 0), min(int(y) + reach + 1, side)):
            for i in range(max(int(x) - reach, 0), min(int(x) + reach + 1, side)):
                if (i - x) ** 2 + (j - y) ** 2 <= brush**2:
                    mask[j * side + i] = 255
    return bytes(mask)


def mask(shape, side, index):
    if shape == "strokes":
        return strokes(side, index)
    inside = range(side // 4, side - side // 4)
    if shape == "centre":
        return bytes(255 if y in inside and x in inside else 0 for y in range(side) for x in range(side))
    return bytes(255 if x >= side // 2 else 0 for y in range(side) for x in range(side))


def png(side, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y * side:(y + 1) * side] for y in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=["centre", "half", "strokes"])
    parser.add_argument("side", type=int)
    parser.add_argument("-n", "--count", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mask")
    parser.add_argument("-o", "--output", required=True, help="a .png (one mask) or .idx")
    asked = parser.parse_args()
    if asked.side < 8 or asked.count < 1:
        parser.error("expected a side of 8 or more and a mask or more")
    masks = [mask(asked.shape, asked.side, asked.first + i) for i in range(asked.count)]
    if asked.output.endswith(".png"):
        if asked.count > 1:
            parser.error("a .png holds one mask")
        data = png(asked.side, masks[0])
    else:
        data = struct.pack(">IIII", 0x00000803, asked.count, asked.side, asked.side) + b"".join(masks)
    with open(asked.output, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
