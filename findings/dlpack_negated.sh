#!/usr/bin/env bash
# torch 2.15.0 with NumPy 2.4.6 (PyPI), Python 3.11: a tensor whose negative bit is set (x.conj().imag of a complex x) loses its sign on its way through DLPack.
# Expected: what numpy() does, which refuses such a tensor and names resolve_neg(), or the numbers that the tensor prints.
# Seen: numpy.from_dlpack and torch.from_dlpack give the numbers that lie in memory, with the other sign, without a word. The conjugate
# bit, which a capsule cannot tell either, is refused with a BufferError. The numbers are right after resolve_neg() or contiguous().
# What follows for readers of state dicts by DLPack: call resolve_neg() before __dlpack__().
#   findings/dlpack_negated.sh   (VENV=FOLDER: a virtual environment to install into, kept)
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
venv=${VENV:-$room/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, numpy; assert torch.__version__.startswith("2.15.0") and numpy.__version__ == "2.4.6"' 2>/dev/null ||
    "$venv/bin/pip" install -q torch==2.15.0 numpy==2.4.6
"$venv/bin/python" - <<'P'
import numpy
import torch

x = torch.view_as_complex(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
negated, seen = x.conj().imag, {}
assert negated.is_neg() and negated.tolist() == [-2.0, -4.0]
try:
    seen["numpy()"] = negated.numpy().tolist()
except RuntimeError:
    seen["numpy()"] = "refused"
try:
    seen["DLPack of the conjugate bit"] = torch.from_dlpack(x.conj()).tolist()
except BufferError:
    seen["DLPack of the conjugate bit"] = "refused"
seen["numpy.from_dlpack"] = numpy.from_dlpack(negated).tolist()
seen["torch.from_dlpack"] = torch.from_dlpack(negated).tolist()
seen["numpy.from_dlpack, resolved"] = numpy.from_dlpack(negated.resolve_neg()).tolist()
print(f"the tensor: {negated.tolist()}")
for how, what in seen.items():
    print(f"{how}: {what}")
expected = {
    "numpy()": "refused", "DLPack of the conjugate bit": "refused", "numpy.from_dlpack": [2.0, 4.0], "torch.from_dlpack": [2.0, 4.0],
    "numpy.from_dlpack, resolved": [-2.0, -4.0],
}
raise SystemExit(0 if seen == expected else "changed: expected numbers of the other sign by DLPack")
P
