#!/usr/bin/env python3
"""first_scale.py BINARY ROUNDS NAME=MODEL[:WEIGHTS].. - from the start to a picture's first scale, models in turn (a b a b ..): what
`generate --json` says of loading, of the class's vectors and of scale 1; medians of the rounds, then every one.

    bench/first_scale.py build/release/variant 5 packed=packed.safetensors plain=d16.safetensors:bf16
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile


def measure(binary, model, weights, folder):
    command = [binary, "generate", "-m", model, "--scales", "1", "--json", "-o", os.path.join(folder, "a.png")]
    if weights:
        command += ["--weights", weights]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr.strip() or f"{' '.join(command)}: status {run.returncode}")
    done = json.loads(run.stdout)
    scale = done["scales"][0]["ms"]
    return done["load_ms"] + done["adaln_ms"] + scale, done["load_ms"], scale, done["peak_rss_bytes"] / 1e6


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    binary, rounds = sys.argv[1], int(sys.argv[2])
    cases = {name: model.partition(":") for name, _, model in (word.partition("=") for word in sys.argv[3:])}
    found = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, (model, _, weights) in cases.items():
                found[name].append(measure(binary, model, weights, folder))
    for name, runs in found.items():
        whole, load, scale, resident = (statistics.median(column) for column in zip(*runs))
        every = " ".join("%.0f" % run[0] for run in runs)
        print(f"{name:12} {whole:8.1f} ms: loading {load:.1f}, scale 1 {scale:.1f}; {resident:.0f} MB resident; every run: {every}")


main()
