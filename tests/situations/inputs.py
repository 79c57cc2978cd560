"""Inputs of the situations, standard library only: pictures, class folders, safetensors files taken apart and put together."""
import json
import os
import random
import struct
import zlib


def write_png(path, rows, channels=3):
    """rows: a list of bytes objects, each one row of 8-bit samples; channels: 1 grey, 3 RGB, 4 RGBA."""
    colour_type = {1: 0, 3: 2, 4: 6}[channels]

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">2I5B", len(rows[0]) // channels, len(rows), 8, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def png_chunks(path):
    """(name, body) of each chunk of a PNG; its sums are checked."""
    with open(path, "rb") as file:
        content = file.read()
    assert content[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    at, chunks = 8, []
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        body = content[at + 8:at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length)[0] == zlib.crc32(name + body), f"{path}: sum of {name}"
        chunks.append((name, body))
        at += 12 + length
    assert chunks[-1][0] == b"IEND", f"{path} ends early"
    return chunks


def kind(path):
    """What a file is by its first bytes: "PNG", "JPEG", "WEBP" or ""."""
    with open(path, "rb") as file:
        start = file.read(12)
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if start[:3] == b"\xff\xd8\xff":
        return "JPEG"
    return "WEBP" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else ""


def exif_comment(path):
    """EXIF's UserComment of a JPEG or WebP, "" without, read by the tables of the TIFF inside."""
    with open(path, "rb") as file:
        content = file.read()
    at = content.find(b"Exif\0\0") + 6 if kind(path) == "JPEG" else content.find(b"EXIF") + 8
    block = content[at:]
    order = {b"II": "<", b"MM": ">"}[block[:2]]

    def entries(start):
        count = struct.unpack_from(order + "H", block, start)[0]
        for i in range(count):
            tag, kind_, length, value = struct.unpack_from(order + "HHII", block, start + 2 + 12 * i)
            yield tag, length, value

    for tag, _, value in entries(struct.unpack_from(order + "I", block, 4)[0]):
        if tag == 0x8769:
            for inner, length, place in entries(value):
                if inner == 0x9286:
                    assert block[place:place + 8] == b"ASCII\0\0\0"
                    return block[place + 8:place + length].decode("ascii")
    return ""


def jpeg_size(path):
    """(width, height, channels, sampling of the first component) from a JPEG's frame header."""
    with open(path, "rb") as file:
        content = file.read()
    at = 2
    while content[at + 1] not in (0xC0, 0xC2):
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    height, width, channels = struct.unpack_from(">HHB", content, at + 5)
    return width, height, channels, content[at + 11]


def png_pixels(path):
    """The filtered samples of a PNG, which are equal where pictures are."""
    return zlib.decompress(b"".join(body for name, body in png_chunks(path) if name == b"IDAT"))


def noisy_rows(width, height, colour, seed):
    """Rows of one colour (a tuple of samples) with noise of +-24 that depends on the seed alone."""
    source = random.Random(seed)
    return [bytes(min(255, max(0, sample + source.randint(-24, 24))) for _ in range(width) for sample in colour)
            for _ in range(height)]


def picture(path, colour=(120, 90, 60), width=16, height=16, seed=0):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    write_png(path, noisy_rows(width, height, colour, seed), len(colour))


def classes(root, names, count, **more):
    """root/NAME/00.png ...: `count` pictures a class, each class of its own colour."""
    for i, name in enumerate(names):
        colour = tuple(40 + (97 * (i + 1) * (c + 2)) % 176 for c in range(3))
        for j in range(count):
            picture(os.path.join(root, name, f"{j:02}.png"), colour, seed=(more.get("seed", 0), i, j).__hash__(),
                    **{k: v for k, v in more.items() if k != "seed"})


class Safetensors:
    """A safetensors file as a header (a dict in file order) and its bytes of data."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = file.read()
        length = struct.unpack_from("<Q", content)[0]
        self.header = json.loads(content[8:8 + length])
        self.data = bytearray(content[8 + length:])

    def names(self):
        return [name for name in self.header if name != "__metadata__"]

    def set_number(self, name, index, value):
        """Number `index` of an F32 tensor."""
        struct.pack_into("<f", self.data, self.header[name]["data_offsets"][0] + 4 * index, value)

    def rename(self, function):
        self.header = {name if name == "__metadata__" else function(name): entry for name, entry in self.header.items()}

    def write(self, path):
        """As a program writes it that knows nothing of checksums: what was changed would not fit them."""
        self.header.get("__metadata__", {}).pop("variant.checksums", None)
        text = json.dumps(self.header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + self.data)
