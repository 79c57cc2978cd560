"""What numpy reads of the files that `variant` writes for other programs, and what `variant` makes of those that numpy wrote again.
    python numpy_files.py VARIANT MODEL"""
import json
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
        for sides_of in ([1, 2, 9], [0] * len(sides), sides[::-1], [1.5]):
            np.savez(folder / "wrong.npz", tokens=ids[:2], sides=np.array(sides_of))
            said = subprocess.run([variant, "decode", "-m", model, folder / "wrong.npz", "-o", folder / "no.png"], capture_output=True, text=True)
            check(said.returncode == 1 and "wrong.npz" in said.stderr and said.stderr.count("\n") == 1, f"sides {sides_of} are refused")
    run("decode", "-m", model, folder / "again.npz", "-o", folder / "x.png")
    run("decode", "-m", model, folder / "tokens.npz", "-o", folder / "y.png")
    check((folder / "x_01.png").read_bytes() == (folder / "y_01.png").read_bytes(), "tokens that numpy wrote are decoded alike")


def samples(folder):
    """guided-diffusion's evaluators read arr_0, (N, H, W, 3) of bytes, and arr_1, labels."""
    made = ("generate", "-m", model, "--class", "all", "-n", "11", "--depth", "1", "--batch", "4")
    run(*made, "-o", folder / "samples.npz")
    again = (folder / "samples.npz").read_bytes()
    run(*made, "-o", folder / "samples.npz")
    check((folder / "samples.npz").read_bytes() == again, "the same samples are the same bytes")
    run(*made, "-o", folder / "one.png", "--tokens-out", folder / "made.npz")
    with np.load(folder / "samples.npz") as found, np.load(folder / "made.npz") as tokens:
        pictures, labels = found["arr_0"], found["arr_1"]
        check(pictures.dtype == np.uint8 and pictures.shape == (11, 32, 32, 3), "samples are (N, H, W, 3) of bytes")
        check((pictures == pictures[..., :1]).all() and len({p.tobytes() for p in pictures}) == 11, "grey is repeated; all differ")
        check(labels.dtype == np.int64 and (labels == np.arange(11) % 10).all(), "labels are the classes")
        check((tokens["labels"] == labels).all(), "--tokens-out knows the same labels")
        np.savez_compressed(folder / "grey.npz", arr_0=pictures[..., 0])
    for options in (("--grid",), ("--compare", "1,2"), ("--show",), ("--animate", folder / "x.png")):
        done = subprocess.run([variant, *map(str, made), "-o", str(folder / "no.npz"), *map(str, options)], capture_output=True, text=True)
        check(done.returncode == 2 and ".npz" in done.stderr, (options, done.stderr))
    check(not (folder / "no.npz").exists(), "nothing is written beside what it goes without")


def statistics(folder):
    """mu and sigma, as pytorch-fid and guided-diffusion keep them."""
    judged = ("eval", "--features", model, "--draws", "0", "--json", "--channels", "1", "--pictures", folder / "samples.npz")
    np.savez(folder / "real.npz", arr_0=blobs(40))
    run("eval", "--features", model, "--draws", "0", "--pictures", folder / "real.npz", "--save-stats", folder / "stats.npz")
    with np.load(folder / "stats.npz") as found:
        mu, sigma = found["mu"], found["sigma"]
        check(mu.dtype == sigma.dtype == np.float64 and sigma.shape == (len(mu), len(mu)), "mu and sigma are float64")
        check((sigma == sigma.T).all() and np.linalg.eigvalsh(sigma).min() > -1e-9 * sigma.max(), "sigma is a covariance")
        check(found["count"] == 40, "how many pictures they are of")
        np.savez(folder / "published.npz", mu=mu, sigma=sigma)
    scores = [json.loads(run(*judged, "--reference", folder / name))["scores"] for name in ("real.npz", "stats.npz", "published.npz")]
    check(all(abs(s["frechet"] - scores[0]["frechet"]) <= 1e-9 * scores[0]["frechet"] for s in scores), [s["frechet"] for s in scores])
    check(scores[1]["reference_samples"] == 40 and "reference_samples" not in scores[2], "a bare archive does not say how many")


with tempfile.TemporaryDirectory() as name:
    tokens(Path(name))
    samples(Path(name))
    statistics(Path(name))
print(f"{checks} passed, 0 failed (numpy {np.__version__})")
