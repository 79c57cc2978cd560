#!/usr/bin/env python3
"""plan_check.py - are plans true? Random budgets between the cheapest and the dearest schedule are planned, the
schedule of each is run in processes of its own, and predicted time and memory stand beside what was measured.

    tools/plan_check.py -m models/fashion
    tools/plan_check.py -m d16.safetensors --weights bf16 --budgets 10 --json

Time is the median of --repeat batches after one that warms up (`variant bench`), which is what a plan predicts;
"first" is the batch of `variant generate`, right after loading. Memory is weights + activations + keys and values
of that `variant generate`, and must be equal to the byte. Costs are measured once, into a cache of this run's own.
Exit status 1 when a byte differs or a run fails.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile


def run(arguments, environment, may_miss=False):
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=1800)
    if done.returncode != 0 and not (may_miss and done.returncode == 1 and done.stdout):
        sys.exit(f"plan_check: {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description="predicted against measured cost of planned schedules")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--variant", default="build/release/variant", help="the program (default %(default)s)")
    parser.add_argument("--weights", default="f32")
    parser.add_argument("--kv")
    parser.add_argument("-t", "--threads")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--budgets", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()

    model = ["-m", a.model, "--weights", a.weights]
    for name, value in (("--kv", a.kv), ("--threads", a.threads)):
        if value:
            model += [name, value]
    draw = random.Random(a.seed)
    rows, refused = [], 0
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_CACHE_HOME=folder)

        def plan(*limits):
            return run([a.variant, "plan", *model, "--batch", str(a.batch), "--json", *limits], environment, True)

        dearest = plan()
        cheap = plan("--max-memory", "1B", "--max-latency", "0.001ms")
        while len(rows) < a.budgets:
            size = draw.uniform(cheap["bytes"], dearest["bytes"])
            seconds = draw.uniform(cheap["seconds"], dearest["seconds"])
            kind = ("time", "memory", "both")[len(rows) % 3]
            limits = (["--max-memory", str(int(size))] if kind != "time" else []) + (
                ["--max-latency", f"{seconds:.6f}s"] if kind != "memory" else [])
            planned = plan(*limits)
            if not planned["fits"]:
                refused += 1
                if refused > 20 * a.budgets:
                    sys.exit("plan_check: hardly a budget fits")
                continue
            chosen = ["--bridge", str(planned["bridge"]), "--depth", str(planned["depth"]), "--batch", str(a.batch)]
            for name in ("uncond_depth", "cfg_late"):
                if name in planned:
                    chosen += ["--" + name.replace("_", "-"), str(planned[name])]
            timed = run([a.variant, "bench", *model, *chosen, "--repeat", str(a.repeat), "--json"], environment)
            made = run([a.variant, "generate", *model, *chosen, "-n", str(a.batch), "--json", "-o",
                        os.path.join(folder, "picture.png")], environment)
            taken = made["weight_bytes"] + made["arena_peak_bytes"] + made["kv_peak_bytes"]
            measured = timed["picture_ms"] * a.batch
            rows.append({
                "max_memory": int(size) if kind != "time" else None,
                "max_ms": 1e3 * seconds if kind != "memory" else None,
                "bridge": planned["bridge"], "depth": planned["depth"],
                "predicted_ms": 1e3 * planned["seconds"], "measured_ms": measured, "first_ms": made["total_ms"],
                "error": 1e3 * planned["seconds"] / measured - 1.0,
                "predicted_bytes": planned["bytes"], "bytes": taken, "rss_bytes": made["peak_rss_bytes"],
            })
    errors = [abs(row["error"]) for row in rows]
    exact = sum(row["predicted_bytes"] == row["bytes"] for row in rows)
    result = {"model": a.model, "weights": a.weights, "batch": a.batch, "seed": a.seed, "kernels": timed["kernels"],
              "median_error": statistics.median(errors), "largest_error": max(errors), "exact_bytes": exact,
              "rows": rows}
    if a.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{a.model}, weights {a.weights}, batch {a.batch}, seed {a.seed}\n{timed['kernels']}\n")
        print("| budget | bridge, depth | predicted | measured | error | first batch | bytes predicted | bytes taken | resident |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in rows:
            budget = ", ".join(
                ([f"{row['max_memory'] / 1e6:.2f} MB"] if row["max_memory"] else []) +
                ([f"{row['max_ms']:.1f} ms"] if row["max_ms"] else []))
            print(f"| {budget} | {row['bridge']}, {row['depth']} | {row['predicted_ms']:.1f} ms | "
                  f"{row['measured_ms']:.1f} ms | {100 * row['error']:+.1f} % | {row['first_ms']:.1f} ms | "
                  f"{row['predicted_bytes']} | {row['bytes']} | {row['rss_bytes'] / 1e6:.1f} MB |")
        print(f"\nmedian error of time {100 * result['median_error']:.1f} %, largest {100 * max(errors):.1f} %; "
              f"{exact} of {len(rows)} memory predictions exact")
    return 0 if exact == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
