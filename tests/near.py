"""How far two checkpoints are apart: near.py A B KIND BOUND, of the tensors whose names begin with KIND, "model" being those of no training.
Fails where the norm of the difference is above BOUND times the norm of A."""

import array
import json
import math
import struct
import sys


def floats_of(path):
    with open(path, "rb") as file:
        text = file.read()
    (length,) = struct.unpack("<Q", text[:8])
    tensors = {}
    for name, about in json.loads(text[8 : 8 + length]).items():
        if name != "__metadata__" and about["dtype"] == "F32":
            begin, end = about["data_offsets"]
            tensors[name] = array.array("f", text[8 + length + begin : 8 + length + end])
    return tensors


def main():
    first, second = floats_of(sys.argv[1]), floats_of(sys.argv[2])
    kind, bound = sys.argv[3], float(sys.argv[4])
    names = [name for name in first if name.startswith(kind) or (kind == "model" and not name.startswith(("training/m/", "training/v/")))]
    if first.keys() != second.keys() or not names:
        sys.exit("other tensors")
    apart = size = 0.0
    for name in names:
        apart += sum((a - b) ** 2 for a, b in zip(first[name], second[name]))
        size += sum(a * a for a in first[name])
    error = math.sqrt(apart / size)
    if not error <= bound:
        sys.exit(f"{kind}: {error:.3g} apart, expected at most {bound:g}")


main()
