#!/usr/bin/env bash
# torch 2.15.0 (PyPI), Python 3.11: torch.save takes pickle_protocol=4 and 5 without a word, in its zip form and in the legacy one,
# and torch.load refuses what it wrote.
# Expected: a file that torch.save writes with one of its documented arguments is read by torch.load as it stands.
# Seen: protocols 2 and 3 are read; 4 and 5 raise UnpicklingError, because the default weights_only=True has a reader of its own
# that does not know their instructions (frames, short strings, memoize). weights_only=False reads them all.
# What follows for readers of checkpoints: files of protocol 4 and 5 exist and their owners cannot open them by default.
#   findings/files.sh            (VENV=FOLDER: a virtual environment to install into, kept)
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
venv=${VENV:-$room/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q torch==2.15.0 numpy==2.4.6
cd "$room"
"$venv/bin/python" - <<'P'
import pickle
import torch

state, seen = {"weight": torch.arange(6.0).reshape(2, 3)}, {}
for zipped in (True, False):
    for protocol in (2, 3, 4, 5):
        torch.save(state, "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        assert torch.equal(torch.load("x.pth", weights_only=False)["weight"], state["weight"])
        try:
            torch.load("x.pth")
            seen[zipped, protocol] = "read"
        except pickle.UnpicklingError:
            seen[zipped, protocol] = "refused"
expected = {(zipped, protocol): "read" if protocol < 4 else "refused" for zipped in (True, False) for protocol in (2, 3, 4, 5)}
for (zipped, protocol), what in seen.items():
    print(f"{'zip' if zipped else 'legacy'}, protocol {protocol}: {what}")
raise SystemExit(0 if seen == expected else "changed: expected protocols 4 and 5 to be refused, 2 and 3 to be read")
P
