#!/usr/bin/env python3
"""Writes a data set of many small pictures, to measure how a large one is opened and read.

    small_pictures.py FOLDER [--count 100000] [--classes 1000] [--side 28]

Grey PNG files, FOLDER/class0000/00000000.png and so on, the pictures dealt to the classes in turn; each is a gradient that its
number turns, so that no two files are equal. The standard library is enough.
"""
import argparse
import pathlib
import struct
import sys
import zlib


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(number, side):
    """A PNG file of a gradient whose first pixels are the number."""
    step, first = number % 13 + 1, number // 13
    row = bytes((first + step * x) & 255 for x in range(side))
    rows = bytearray((b"\0" + row) * side)
    rows[1 + (side + 1) : 5 + (side + 1)] = struct.pack(">I", number)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b"")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--side", type=int, default=28)
    args = parser.parse_args()
    if args.side < 4 or args.classes < 1 or args.count < 1:
        sys.exit("small_pictures: expected a side of 4 or more, a class and a picture")
    for one in range(args.classes):
        folder = args.folder / f"class{one:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(one, args.count, args.classes):
            (folder / f"{number:08d}.png").write_bytes(png(number, args.side))


if __name__ == "__main__":
    main()
