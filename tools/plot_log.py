#!/usr/bin/env python3
"""Draws the logs of training runs (log.jsonl of `variant train`), one panel a log: tools/plot_log.py OUT.png LOG...

Tokenizer: PSNR in training and on the test split. Transformer: loss, and test loss at every depth. Needs Matplotlib.
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def series(lines, key):
    found = [(line["epoch"], line[key]) for line in lines if line.get(key) is not None]
    return [x for x, _ in found], [y for _, y in found]


def panel(axes, path):
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    keys = sorted({key for line in lines for key in line})
    if "psnr" in keys:
        curves = [("psnr", "training", "-"), ("test_psnr", "test, all pixels", "o-"), ("test_psnr_native", "test, 28 x 28", "s-")]
        axes.set_ylabel("PSNR, dB")
    else:
        curves = [("loss", "training", "-"), ("loss_full", "training, full path", "-"), ("loss_subnet", "training, subnet path", "-"),
                  ("test_loss", "test, full depth", "o-")]
        curves += [(key, "test, depth " + key.removeprefix("test_loss_depth"), "s-") for key in keys
                   if key.startswith("test_loss_depth")]
        if "loss_full" in keys:
            curves = curves[1:]
        axes.set_ylabel("cross entropy a token")
        least = min(line[key] for line in lines for key, _, _ in curves if line.get(key) is not None)
        last = max(max((line[key] for line in lines[len(lines) // 2:] if line.get(key) is not None), default=0) for key, _, _ in curves)
        axes.set_ylim(0.97 * least, max(1.5 * least, 1.03 * last))  # the first steps are far above and say little
    for key, name, style in curves:
        x, y = series(lines, key)
        if x:
            axes.plot(x, y, style, label=name, linewidth=1, markersize=4)
    axes.set_title(path.rsplit("/", 1)[-1].removesuffix(".jsonl").removesuffix(".log"))
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def main(out, paths):
    figure, axes = plt.subplots(1, len(paths), figsize=(4.5 * len(paths), 3.2), squeeze=False)
    for one, path in zip(axes[0], paths):
        panel(one, path)
    figure.tight_layout()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
