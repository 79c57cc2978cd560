"""pixels.py - the pixels of pictures and of animated PNG, read with the standard library alone and strictly: every chunk's check sum,
order and number. Used by tests/animation.py and tests/terminal.py."""
import struct
import zlib


class Picture:
    def __init__(self, width, height, channels, rows):
        self.width, self.height, self.channels, self.rows = width, height, channels, rows

    def __eq__(self, other):
        return (self.width, self.height, self.channels, self.rows) == (other.width, other.height, other.channels, other.rows)

    def rgb(self, x, y):
        at = x * self.channels
        return tuple(self.rows[y][at:at + 3]) if self.channels == 3 else (self.rows[y][at],) * 3

    def zoomed(self, factor):
        def wide(row):
            pixels = [bytes(row[i:i + self.channels]) for i in range(0, len(row), self.channels)]
            return b"".join(pixel * factor for pixel in pixels)

        rows = [row for y in range(self.height) for row in [wide(self.rows[y])] * factor]
        return Picture(self.width * factor, self.height * factor, self.channels, rows)


def chunks(data):
    """(type, content) of a PNG, whose check sums hold and which ends with IEND."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at = 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        content = data[at + 8:at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + content), f"check sum of {kind}"
        yield kind.decode(), content
        at += 12 + size
    assert kind == b"IEND" and at == len(data), "no end"


def unfilter(data, width, height, channels):
    stride, rows, above = width * channels, [], bytes(width * channels)
    assert len(data) == (stride + 1) * height, "pixels of another size"
    for y in range(height):
        kind, row = data[y * (stride + 1)], bytearray(data[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left = row[i - channels] if i >= channels else 0
            up, corner = above[i], above[i - channels] if i >= channels else 0
            if kind == 4:
                guess = left + up - corner
                near = sorted(((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner)))[0][2]
            else:
                near = (0, left, up, (left + up) // 2)[kind]
            row[i] = (row[i] + near) & 255
        above = bytes(row)
        rows.append(above)
    return rows


def picture(header, packed):
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = {0: 1, 2: 3}[colour]
    assert depth == 8 and not interlaced
    return Picture(width, height, channels, unfilter(zlib.decompress(packed), width, height, channels))


def png(data):
    parts = list(chunks(data))
    assert parts[0][0] == "IHDR"
    return picture(parts[0][1], b"".join(content for kind, content in parts if kind == "IDAT"))


def animation(data):
    """(the still picture, frames, their times in ms, plays) of an animated PNG whose still picture is no frame."""
    parts = list(chunks(data))
    kinds = [kind for kind, _ in parts]
    assert kinds[0] == "IHDR" and kinds.index("acTL") < kinds.index("IDAT") < kinds.index("fcTL"), kinds
    header = parts[0][1]
    size = header[:8]
    frames, plays = struct.unpack(">II", parts[kinds.index("acTL")][1])
    number, packed, times = 0, [], []
    for kind, content in parts:
        if kind not in ("fcTL", "fdAT"):
            continue
        assert struct.unpack(">I", content[:4])[0] == number, f"{kind} has number {content[:4]}, not {number}"
        number += 1
        if kind == "fcTL":
            assert content[4:12] == size and content[12:20] == bytes(8) and len(content) == 26, "a frame that is no whole picture"
            part, whole = struct.unpack(">HH", content[20:24])
            times.append(1000 * part / whole)
            packed.append(b"")
        else:
            packed[-1] += content[4:]
    assert len(packed) == frames, f"{len(packed)} frames, {frames} told"
    still = picture(header, b"".join(content for kind, content in parts if kind == "IDAT"))
    return still, [picture(header, one) for one in packed], times, plays
