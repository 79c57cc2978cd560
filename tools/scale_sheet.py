#!/usr/bin/env python3
"""Pictures of every scale on one sheet: a row a folder and picture, as `variant generate --save-scales FOLDER` leaves them, the rows
of one picture below each other.
    tools/scale_sheet.py OUT.png FOLDER... [--zoom N]"""
import argparse
import re
import struct
import sys
import zlib
from pathlib import Path

GAP = 2


def read_png(path):
    """(width, height, channels, rows of bytes) of a PNG of eight bits, grey or RGB, not interlaced."""
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        sys.exit(f"{path}: is no PNG")
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            packed += body
        at += length + 12
    if depth != 8 or colour not in (0, 2) or interlace:
        sys.exit(f"{path}: expected 8 bits, grey or RGB")
    channels = 3 if colour == 2 else 1
    raw, rows, before = zlib.decompress(packed), [], bytearray(width * channels)
    for y in range(height):
        start = y * (width * channels + 1)
        row = bytearray(raw[start + 1:start + 1 + width * channels])
        for i in range(len(row)):
            left = row[i - channels] if i >= channels else 0
            up, corner = before[i], before[i - channels] if i >= channels else 0
            guess = left + up - corner
            near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            row[i] = (row[i] + (0, left, up, (left + up) // 2, near)[raw[start]]) & 255
        rows.append(row)
        before = row
    return width, height, channels, rows


def write_png(path, width, channels, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2 if channels == 3 else 0, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def enlarged(rows, channels, zoom):
    for row in rows:
        wide = b"".join(bytes(row[i:i + channels]) * zoom for i in range(0, len(row), channels))
        for _ in range(zoom):
            yield wide


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--zoom", type=int, default=2)
    asked = parser.parse_args()
    pictures = {}
    for folder in asked.folders:
        for path in sorted(folder.glob("*_scale_*.png")):
            number = re.match(r"\d+", path.name).group()
            pictures.setdefault(number, {}).setdefault(folder, []).append(path)
    if not pictures:
        sys.exit(f"{asked.folders[0]}: no pictures of scales there")
    sheet, channels = [], 1
    for number in sorted(pictures):
        for folder in asked.folders:
            cells = [read_png(path) for path in pictures[number].get(folder, [])]
            channels = cells[0][2]
            gap = b"\xff" * (GAP * channels)
            lines = zip(*(enlarged(cell[3], channels, asked.zoom) for cell in cells))
            sheet += [gap.join(line) for line in lines]
            width = len(sheet[-1]) // channels
            sheet += [b"\xff" * (width * channels)] * GAP
    write_png(asked.out, width, channels, sheet[:-GAP])


main()
