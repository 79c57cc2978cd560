#!/usr/bin/env python3
"""What each precision costs, on a model: agreement of greedy tokens with float32's and the PSNR between the pictures.

    python3 bench/accuracy.py --model models/fashion [--depths 12,6,3,2] [--count 100] [--variant build/release/variant]

Needs numpy and pillow. Greedy decoding makes the comparison hard: one near tie that falls the other way changes every
later token of that picture, so a picture either agrees to the end or becomes another picture of its class. Both
figures are given: all tokens, and tokens before the first difference. Sampled pictures (same seeds) likewise.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
from PIL import Image


def read_tokens(path):
    """The tensor "tokens", (pictures, L), of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    entry = header["tokens"]
    begin, end = entry["data_offsets"]
    return numpy.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<i4").reshape(entry["shape"])


def generate(args, folder, name, depth, weights, kv, greedy):
    target = folder / name
    target.mkdir()
    command = [args.variant, "generate", "-m", args.model, "--class", "all", "-n", str(args.count), "-s", "1",
               "--depth", str(depth), "--weights", weights, "--kv", kv, "-o", str(target / "%04d.png"),
               "--tokens-out", str(target / "tokens.safetensors")]
    if greedy:
        command.append("--greedy")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pictures = [numpy.asarray(Image.open(path), dtype=numpy.float64) for path in sorted(target.glob("*.png"))]
    return read_tokens(target / "tokens.safetensors"), numpy.stack(pictures)


def compare(reference, other):
    """Share of equal tokens, share before the first difference, share of equal pictures, PSNR of pictures."""
    same = reference[0] == other[0]
    until = numpy.cumprod(same, axis=1).mean()
    mse = ((reference[1] - other[1]) ** 2).reshape(len(same), -1).mean(axis=1)
    whole = 10 * numpy.log10(255.0**2 / mse.mean()) if mse.mean() > 0 else float("inf")
    agreeing = same.all(axis=1)
    alike = mse[agreeing].mean() if agreeing.any() else float("nan")
    decoder = 10 * numpy.log10(255.0**2 / alike) if alike > 0 else float("inf")
    return same.mean(), until, agreeing.mean(), whole, decoder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/fashion")
    parser.add_argument("--depths", default="12,6,3,2")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--variant", default="build/release/variant")
    args = parser.parse_args()
    print("decoding,depth,weights,kv,tokens_equal,tokens_before_first_difference,pictures_equal_tokens,psnr_all_db,"
          "psnr_where_tokens_agree_db")
    with tempfile.TemporaryDirectory() as base:
        for greedy in (True, False):
            for depth in [int(d) for d in args.depths.split(",")]:
                folder = pathlib.Path(base) / f"{greedy}{depth}"
                folder.mkdir()
                reference = generate(args, folder, "reference", depth, "f32", "f32", greedy)
                for weights, kv in (("f32", "bf16"), ("bf16", "bf16"), ("bf16", "int8"), ("int8", "bf16"),
                                    ("int8", "int8")):
                    other = generate(args, folder, f"{weights}_{kv}", depth, weights, kv, greedy)
                    figures = compare(reference, other)
                    print(f"{'greedy' if greedy else 'sampled'},{depth},{weights},{kv}," + ",".join(
                        f"{x:.4f}" for x in figures[:3]) + f",{figures[3]:.2f},{figures[4]:.2f}")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
