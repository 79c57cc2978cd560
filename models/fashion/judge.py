#!/usr/bin/env python3
"""Asks Fashion-MNIST's own training pictures what the drawn ones look like: 5 nearest neighbours by pixel distance.

Draws 1000 pictures (100 a class) at each depth and prints how many get the class they were asked for, and, as the
yardstick, how many of the first 1000 real test pictures do. Needs NumPy and Pillow; run from the root of the tree.
"""
import gzip
import subprocess
import tempfile

import numpy as np
from PIL import Image

DATA = "/usr/share/datasets/fashion-mnist/"
VARIANT = "build/release/variant"
COUNT, COLUMNS, SIDE, GAP, PAD = 1000, 100, 32, 2, 2


def idx(name, offset):
    with gzip.open(DATA + name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def drawn(depth):
    """(COUNT, 784): the 28 x 28 window of each picture on the sheet."""
    with tempfile.NamedTemporaryFile(suffix=".png") as sheet:
        subprocess.run([VARIANT, "generate", "-m", "models/fashion", "--class", "all", "-n", str(COUNT), "--depth", str(depth),
                        "-s", "5", "--grid", "--columns", str(COLUMNS), "-o", sheet.name], check=True, stdout=subprocess.DEVNULL)
        pixels = np.array(Image.open(sheet.name).convert("L"), np.float32)
    step, rows = SIDE + GAP, COUNT // COLUMNS
    corners = [(GAP + r * step + PAD, GAP + c * step + PAD) for r in range(rows) for c in range(COLUMNS)]
    return np.array([pixels[y:y + 28, x:x + 28].ravel() for y, x in corners])


def main():
    known = idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32)
    labels = idx("train-labels-idx1-ubyte.gz", 8)
    norms = (known * known).sum(1)

    def agreement(pictures, wanted):
        nearest = np.argpartition(norms - 2 * pictures @ known.T, 5, axis=1)[:, :5]
        votes = np.array([np.bincount(labels[row], minlength=10).argmax() for row in nearest])
        return (votes == wanted).mean(), [(votes[wanted == c] == c).mean() for c in range(10)]

    real = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:COUNT].astype(np.float32)
    rows = [("real test pictures", agreement(real, idx("t10k-labels-idx1-ubyte.gz", 8)[:COUNT]))]
    rows += [(f"depth {depth}", agreement(drawn(depth), np.arange(COUNT) % 10)) for depth in (8, 4, 2)]
    for name, (mean, classes) in rows:
        print(f"{name:20} {100 * mean:5.1f} %   by class", " ".join(f"{100 * c:3.0f}" for c in classes))


if __name__ == "__main__":
    main()
