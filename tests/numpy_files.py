"""What numpy reads of the files that `variant` writes for other programs, and what `variant` makes of those that numpy wrote again.
    python numpy_files.py VARIANT MODEL"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

variant, model = sys.argv[1:]
checks = 0


def run(*words):
    done = subprocess.run([variant, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def check(truth, what):
    global checks
    assert truth, what
    checks += 1


def blobs(count, side=32):
    """Grey pictures (count, side, side), all different."""
    y, x = np.mgrid[:side, :side]
    centre = (side // 4 + np.arange(count) % (side // 2))[:, None, None]
    return (255 * np.exp(-((x - centre) ** 2 + (y - side / 2) ** 2) / (20 + np.arange(count))[:, None, None])).astype(np.uint8)


def tokens(folder):
    pictures = folder / "pictures.npz"
    np.savez_compressed(pictures, arr_0=blobs(20))
    for name in ("train", "t10k"):  # an IDX pair, whose labels are known
        (folder / f"{name}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + np.array([20, 32, 32], ">i4").tobytes() + blobs(20).tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + np.array([20], ">i4").tobytes() + bytes(i % 10 for i in range(20)))
    run("encode", "-m", model, "--data", folder / "train-images-idx3-ubyte", "--split", "train", "-o", folder / "tokens.npz")
    run("encode", "-m", model, "--data", pictures, "-o", folder / "flat.npz")
    with np.load(folder / "tokens.npz") as found, np.load(folder / "flat.npz") as flat:
        ids, sides = found["tokens"], found["sides"]
        check(ids.dtype == np.int32 and ids.shape == (20, int((sides.astype(int) ** 2).sum())), "tokens are (N, L) of int32")
        check((found["labels"] == np.arange(20) % 10).all(), "labels are the data set's")
        check("labels" not in flat and (flat["tokens"] == ids).all(), "pictures of 32 x 32 are the same from either")
        np.savez_compressed(folder / "again.npz", tokens=ids.astype(np.int64)[:2])
    run("decode", "-m", model, folder / "again.npz", "-o", folder / "x.png")
    run("decode", "-m", model, folder / "tokens.npz", "-o", folder / "y.png")
    check((folder / "x_01.png").read_bytes() == (folder / "y_01.png").read_bytes(), "tokens that numpy wrote are decoded alike")


with tempfile.TemporaryDirectory() as name:
    tokens(Path(name))
print(f"{checks} passed, 0 failed (numpy {np.__version__})")
