#!/usr/bin/env python3
"""What the experiments cost: runs x pictures x FLOP of a training step, over a measured speed.

    tools/experiments/ledger.py --pictures-per-second 77.9

The speed is that of `variant bench train` on the full path of the same shape; shares of it follow from the FLOP.
"""
import argparse

ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ask.add_argument("--pictures-per-second", type=float, required=True, help="full path, `variant bench train`")
ask.add_argument("--layers", type=int, default=12)
ask.add_argument("--width", type=int, default=128)
ask.add_argument("--codes", type=int, default=256)
ask.add_argument("--sides", default="1,2,3,4,5,6,8")
ask.add_argument("--bridge", type=int, default=4)
ask.add_argument("--epochs", type=float, default=1, help="of a supernet after the base")
ask.add_argument("--base-epochs", type=float, default=6)
ask.add_argument("--pictures", type=int, default=60000, help="an epoch")
ask.add_argument("--seeds", type=int, default=3)
a = ask.parse_args()
tokens = [int(side) ** 2 for side in a.sides.split(",")]


def pair_sum(counts):
    """Queries times the keys they see, scale by scale."""
    seen = pairs = 0
    for n in counts:
        seen += n
        pairs += n * seen
    return pairs


def layer(counts):
    """Forward FLOP of one layer: products 2 x 12 C^2 a token, attention 4 C a pair."""
    return 24 * a.width**2 * sum(counts) + 4 * a.width * pair_sum(counts)


def step(depth, layers=a.layers):
    """FLOP of training on one picture: three times forward; layers outside a subnet see the bridge alone."""
    head = 2 * a.width * a.codes * sum(tokens)
    return 3 * (depth * layer(tokens) + (layers - depth) * layer(tokens[: a.bridge]) + head)


full = step(a.layers)
subnets = sorted({a.layers // 2, a.layers // 4, 2}, reverse=True)
subnet = sum(map(step, subnets)) / len(subnets)
phases = 1 / 6 * 0.2 + 1 / 2 * 0.6 + 1 / 3  # mean chance of the subnet over the three phases


def mixed(p):
    return (1 - p) * full + p * subnet


rows = [("base", 1, full, a.base_epochs), ("1 asymmetry", 0, 0.0, 0.0)]
rows += [(f"2 fixed {p:g}", a.seeds, mixed(p), a.epochs) for p in (0, 0.1, 0.5, 1)]
rows += [("2 phases", a.seeds, mixed(phases), a.epochs), ("3 rounded, prefix", 2, mixed(phases), a.epochs),
         ("4 distill", 1, mixed(phases) + phases * full / 3, a.epochs),
         ("4 sandwich, without and with distill", 2, full + subnet, a.epochs),
         ("4 the same, smaller batches, other weights", 3, full + subnet, a.epochs),
         ("4 the same, weight 4; the default", 2 * a.seeds, full + subnet, a.epochs),
         ("4 weighted, deepest-first, bridges", 3, mixed(phases), a.epochs)]
rows += [(f"5 depth {d} alone", 1, step(d, d), a.base_epochs + a.epochs) for d in subnets]
speed = full * a.pictures_per_second
print(f"{a.layers} layers of width {a.width}, {sum(tokens)} tokens, subnets {subnets} after scale {a.bridge};")
print(f"full step {full:.3g} FLOP a picture, {a.pictures_per_second:g} pictures/s: {speed / 1e9:.0f} GFLOP/s.\n")
print("| runs | pictures each | FLOP a picture | minutes each | minutes in all |\n| --- | --- | --- | --- | --- |")
total = 0.0
for name, runs, flop, epochs in rows:
    pictures = epochs * a.pictures
    minutes = pictures * flop / speed / 60
    total += runs * minutes
    print(f"| {name}: {runs} | {pictures:.0f} | {flop:.3g} | {minutes:.1f} | {runs * minutes:.0f} |")
print(f"| **all: {sum(r[1] for r in rows)}** | | | | **{total:.0f}** |")
