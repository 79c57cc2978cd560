#!/usr/bin/env python3
"""Tables and plots of the supernet experiments.

    tools/experiments/report.py docs/reproduction/results.csv --logs docs/reproduction/logs \\
        -o docs/reproduction --into docs/REPRODUCTION.md

RESULTS has a row a number: experiment,run,seed,path,metric,value, as the scripts beside this one write it. Plots go to
the folder of -o; a table replaces what stands between `<!-- table NAME -->` and `<!-- end -->` in the file of --into
(printed where there is none). Needs Matplotlib.
"""
import argparse
import csv
import json
import pathlib
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

LABELS = {"fixed0": "plain, no subnet", "fixed0.1": "fixed p = 0.1", "fixed0.5": "fixed p = 0.5", "fixed1": "fixed p = 1",
          "phases": "three phases", "rounded": "layers rounded", "prefix": "first layers", "distill1": "distillation",
          "sandwich": "both paths a step", "sandwich-distill1": "both paths, distillation", "batch16-distill1": "the same, batches of 16",
          "batch16-distill4": "batches of 16, distillation x 4", "batch16-distill4to1": "batches of 16, distillation x 4 to 1",
          "batch16-distill4to2-bridges": "the default: x 4 to 2, bridge 4 or 5", "batch16-distill16": "batches of 16, distillation x 16",
          "weighted": "weighted draw", "deepest-first": "deepest first", "bridges": "bridge 3 to 5"}
ORDER = list(LABELS)


def read(path):
    """{(experiment, configuration): {(path, metric): {seed: value}}}"""
    found = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            name = re.sub(r"-seed\d+$", "", row["run"])
            numbers = found.setdefault((row["experiment"], name), {}).setdefault((row["path"], row["metric"]), {})
            numbers[int(row["seed"])] = float(row["value"])
    return found


def depth_of(path):
    return int(path.removeprefix("depth")) if path.startswith("depth") else 10**6


def paths_of(configurations):
    return sorted({path for c in configurations for path, metric in c if metric == "frechet"}, key=depth_of, reverse=True)


def mean(numbers):
    return sum(numbers.values()) / len(numbers)


def cell(numbers, digits=3, factor=1.0):
    """A mean, and from where to where the seeds go."""
    if not numbers:
        return ""
    values = [factor * v for v in numbers.values()]
    text = f"{sum(values) / len(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def table(rows, head):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def name_of(path):
    return "full" if path == "full" else path.replace("depth", "depth ")


def scores_table(found, keys):
    configurations = [found[key] for key in keys]
    paths = paths_of(configurations)
    head = ["", "seeds"] + [f"FID(classifier), {name_of(p)}" for p in paths] + [f"class share %, {name_of(p)}" for p in paths]
    rows = []
    for key, c in zip(keys, configurations):
        seeds = len(c.get(("full", "frechet"), {}))
        rows.append([LABELS.get(key[1], key[1]), str(seeds)] + [cell(c.get((p, "frechet"), {})) for p in paths] +
                    [cell(c.get((p, "class_share"), {}), 1, 100.0) for p in paths])
    return table(rows, head)


def losses_table(found, keys):
    """Cross entropy by scale, mean over seeds."""
    scales = max((int(metric.removeprefix("loss_scale")) for key in keys for _, metric in found[key]
                  if metric.startswith("loss_scale")), default=0)
    rows = []
    for key in keys:
        for path in paths_of([found[key]]):
            numbers = [found[key].get((path, m), {}) for m in ["loss"] + [f"loss_scale{k + 1}" for k in range(scales)]]
            if numbers[0]:
                rows.append([LABELS.get(key[1], key[1]), name_of(path)] + [f"{mean(n):.3f}" if n else "" for n in numbers])
    return table(rows, ["", "path", "all tokens"] + [f"scale {k + 1}" for k in range(scales)])


def keys_of(found, *experiments):
    keys = [key for key in found if key[0] in experiments and not (key[0] == "5_alone")]
    return sorted(keys, key=lambda key: ORDER.index(key[1]) if key[1] in ORDER else len(ORDER))


def asymmetry(found, folder):
    base = found.get(("1_asymmetry", "base"))
    if not base:
        return None
    full = base.get(("full", "frechet"), {})
    zones = sorted({p for p, _ in base if p.startswith("zone")}, key=lambda p: (p.split("-")[0], -int(p.split("depth")[1])))
    rows = [["all layers everywhere", cell(full), cell(base.get(("full", "class_share"), {}), 1, 100.0)]]
    for path in zones:
        zone, few = re.fullmatch(r"zone(\d+)-depth(\d+)", path).groups()
        rows.append([f"{few} layers in zone {zone}", cell(base[(path, "frechet")]), cell(base[(path, "class_share")], 1, 100.0)])
    figure, axes = plt.subplots(figsize=(5.2, 3))
    depths = sorted({int(p.split("depth")[1]) for p in zones}, reverse=True)
    for i, few in enumerate(depths):
        heights = [mean(base[(f"zone{z}-depth{few}", "frechet")]) for z in (1, 2, 3)]
        axes.bar([z + (i - 0.5 * (len(depths) - 1)) * 0.35 for z in range(3)], heights, 0.33, label=f"{few} layers in the zone")
    axes.axhline(mean(full), color="black", lw=1, ls="--", label="all layers")
    axes.set_xticks(range(3), ["first scales", "middle scales", "last scale"])
    axes.set_ylabel("FID(classifier)")
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, ncol=2, fontsize=8)
    save(figure, folder / "asymmetry.png")
    return table(rows, ["", "FID(classifier)", "class share %"])


def plain_log(axis):
    """Logarithmic, with numbers as one reads them."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter("")


def colour_of(configuration):
    return f"C{ORDER.index(configuration) % 10}" if configuration in ORDER else "black"


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"wrote {path}")


def front(found, folder):
    keys = keys_of(found, "2_ratio")
    if not keys:
        return
    paths = [p for p in paths_of([found[k] for k in keys]) if p != "full"]
    figure, panels = plt.subplots(1, len(paths), figsize=(3.6 * len(paths), 3.3), sharex=True)
    for axes, path in zip(panels, paths):
        for key in keys:
            x, y = found[key].get(("full", "frechet"), {}), found[key].get((path, "frechet"), {})
            seeds = sorted(set(x) & set(y))
            axes.plot([x[s] for s in seeds], [y[s] for s in seeds], "o", color=colour_of(key[1]), label=LABELS.get(key[1], key[1]))
        axes.set_xlabel("FID(classifier), full path")
        axes.set_ylabel(f"FID(classifier), {name_of(path)}")
        axes.set_yscale("log")
        plain_log(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    panels[-1].legend(frameon=False, fontsize=8)
    save(figure, folder / "front.png")


def choices(found, folder):
    keys = [("2_ratio", "phases")] * (("2_ratio", "phases") in found) + keys_of(found, "3_selectors", "4_choices")
    if len(keys) < 2:
        return
    paths = paths_of([found[k] for k in keys])
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(keys) + 1.2))
    for i, path in enumerate(paths):
        points = [(value, -j) for j, key in enumerate(keys) for value in found[key].get((path, "frechet"), {}).values()]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", color=f"C{i}", label=name_of(path))
    axes.set_yticks([-j for j in range(len(keys))], [LABELS.get(k[1], k[1]) for k in keys])
    axes.set_ylim(-len(keys) + 0.4, 1.1)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlabel("FID(classifier)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncol=len(paths), loc="upper right", fontsize=8)
    save(figure, folder / "choices.png")


def alone(found, folder):
    """Depths trained alone beside the same depths of the default's supernet; all layers: the plain continuation."""
    singles = {depth_of(key[1]): found[key] for key in found if key[0] == "5_alone"}
    if not singles:
        return None
    plain, shared = found.get(("2_ratio", "fixed0")), found.get(("4_choices", "batch16-distill4"))
    rows, depths = [], sorted(singles, reverse=True)
    if plain and shared:
        rows.append(["all", cell(plain[("full", "frechet")]), cell(shared[("full", "frechet")]),
                     f"{mean(plain[('full', 'loss')]):.3f}", f"{mean(shared[('full', 'loss')]):.3f}"])
    for d in depths:
        own, path = singles[d], f"depth{d}"
        ours = shared or {}
        rows.append([str(d), cell(own.get(("full", "frechet"), {})), cell(ours.get((path, "frechet"), {})),
                     f"{mean(own[('full', 'loss')]):.3f}" if ("full", "loss") in own else "",
                     f"{mean(ours[(path, 'loss')]):.3f}" if (path, "loss") in ours else ""])
    figure, axes = plt.subplots(figsize=(4.6, 3))
    axes.plot(depths, [mean(singles[d][("full", "frechet")]) for d in depths], "s-", label="trained alone")
    if shared:
        axes.plot(depths, [mean(shared[(f"depth{d}", "frechet")]) for d in depths], "o-", label="of the supernet")
    axes.set_xlabel("layers")
    axes.set_ylabel("FID(classifier)")
    axes.legend(frameon=False)
    save(figure, folder / "alone.png")
    return table(rows, ["layers", "FID(classifier), alone", "of the supernet", "cross entropy, alone", "of the supernet"])


def draws(c, path, metric):
    """The scores of a path by the seed that its pictures were drawn with; {} where it was not scored."""
    if (path, metric) not in c:
        return {}
    again = {int(p.split("-draw")[1]): mean(c[(p, m)]) for p, m in c if m == metric and p.startswith(f"{path}-draw")}
    return {1: mean(c[(path, metric)])} | again


def beside(scores, reference):
    """How far the scores are from a reference's, over the draws of both."""
    both = scores.keys() & reference.keys()
    return f"{100 * (sum(scores[s] for s in both) / sum(reference[s] for s in both) - 1):+.0f} %" if both else ""


def sharing(found, trained_bridge, recipes):
    """Paths trained for nothing but themselves beside the same paths of supernets of six epochs: each FID, and its distance over
    that of all layers trained alone, a plain VAR."""
    plain = found.get(("6_longer", "epochs6-plain"))
    alone = {tuple(map(int, m.groups())): c for (experiment, name), c in found.items()
             if experiment == "6_longer" and (m := re.fullmatch(r"epochs(\d+)-depth(\d+)-bridge(\d+)", name))}
    nets = [found.get(("6_longer", f"epochs6-{recipe}"), {}) for recipe in recipes]
    if not plain or not alone:
        return None
    reference = draws(plain, "full", "frechet")

    def row(name, own, own_path, path):
        cells, losses = [], []
        for c, p in [(own, own_path)] + [(net, path) for net in nets]:
            scores = draws(c, p, "frechet")
            cells += [cell(scores), beside(scores, reference)]
            losses.append(f"{mean(c[(p, 'loss')]):.3f}" if (p, "loss") in c else "")
        return [name] + cells + losses

    rows = [row("all layers", plain, "full", "full")]
    for epochs, depth, bridge in sorted(alone, key=lambda key: (key[2], -key[1], -key[0])):
        path = f"depth{depth}" + ("" if bridge == trained_bridge else f"-bridge{bridge}")
        rows.append(row(f"{depth} layers after {bridge} scales" + (f"; alone for {epochs} epochs" if epochs != 6 else ""),
                        alone[(epochs, depth, bridge)], f"depth{depth}", path))
    labels = ["alone"] + list(recipes.values())
    return table(rows, [""] + [text for label in labels for text in (f"FID(classifier), {label}", "beside a plain VAR")] +
                 [f"cross entropy, {label}" for label in labels])


def longer(found, trained_bridge, batch, weights):
    """A supernet trained longer beside a plain VAR: every path, and its distance over the full path's; means where pictures were drawn again."""
    net, plain = found.get(("6_longer", f"{batch}-{weights}")), found.get(("6_longer", f"{batch}-plain"))
    if not net or not plain:
        return None
    full = draws(net, "full", "frechet")

    def row(name, c, path):
        score = draws(c, path, "frechet")
        loss = c.get((path, "loss"))
        return [name, cell(score), beside(score, full), f"{100 * mean(draws(c, path, 'class_share')):.1f}", f"{mean(loss):.3f}" if loss else ""]

    rows = [row("plain VAR, all layers", plain, "full"), row("supernet, all layers", net, "full")]
    others = []
    for path in {p for p, metric in net if metric == "frechet" and p != "full" and "-draw" not in p}:
        depth, bridge, guidance = re.fullmatch(r"(?:full|depth(\d+))(?:-bridge(\d+))?(?:-cfg([\d.]+))?", path).groups()
        name = f"{depth} layers after {bridge or trained_bridge} scales" if depth else "supernet, all layers"
        others.append((float(guidance or 0), int(bridge or 0), -int(depth or 10**6), name + (f", guidance {guidance}" if guidance else ""), path))
    rows += [row(name, net, path) for *_, name, path in sorted(others)]
    return table(rows, ["", "FID(classifier)", "beside all layers", "class share %", "cross entropy"])


def conflict(logs, folder):
    """The cosine between both paths' gradients over training, a run a line."""
    figure, axes = plt.subplots(figsize=(5.2, 3))
    rows = []
    for path in sorted(logs.glob("2_ratio/*-seed1.jsonl"), key=lambda p: ORDER.index(p.stem.removesuffix("-seed1"))):
        lines = [json.loads(line) for line in open(path)]
        points = [(line["epoch"], line["cosine"], line["cosine_by_layer"]) for line in lines if line.get("conflict")]
        if not points:
            continue
        label = LABELS[path.stem.removesuffix("-seed1")]
        axes.plot([p[0] for p in points], [p[1] for p in points], color=colour_of(path.stem.removesuffix("-seed1")), label=label)
        tail = points[len(points) // 2:]
        layers = [sum(p[2][l] for p in tail) / len(tail) for l in range(len(tail[0][2]))]
        rows.append([label, f"{points[0][1]:.2f}", f"{sum(p[1] for p in tail) / len(tail):.2f}"] + [f"{c:.2f}" for c in layers])
    if not rows:
        plt.close(figure)
        return None
    axes.set_xlabel("epoch")
    axes.set_ylabel("cosine of the gradients")
    axes.legend(frameon=False, fontsize=7, ncol=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=0.8)
    save(figure, folder / "conflict.png")
    return table(rows, ["", "first", "second half, mean"] + [f"layer {l}" for l in range(len(rows[0]) - 3)])


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("results")
    ask.add_argument("--logs", type=pathlib.Path, help="folder of EXPERIMENT/RUN.jsonl")
    ask.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("."))
    ask.add_argument("--into", type=pathlib.Path)
    ask.add_argument("--bridge", type=int, default=4, help="scales at full depth that subnets were trained with")
    a = ask.parse_args()
    found = read(a.results)
    a.output.mkdir(parents=True, exist_ok=True)
    ratio, others = keys_of(found, "2_ratio"), keys_of(found, "3_selectors", "4_choices")
    tables = {"asymmetry": asymmetry(found, a.output), "ratio": scores_table(found, ratio) if ratio else None,
              "losses": losses_table(found, ratio + others) if ratio + others else None,
              "choices": scores_table(found, [k for k in ratio if k[1] == "phases"] + others) if others else None,
              "alone": alone(found, a.output), "longer-batch64": longer(found, a.bridge, "batch64", "distill1"),
              "longer-batch16-distill4": longer(found, a.bridge, "batch16", "distill4"),
              "longer-epochs6-distill4": longer(found, a.bridge, "epochs6", "distill4"),
              "longer-epochs6-bridges": longer(found, a.bridge, "epochs6", "bridges"),
              "sharing": sharing(found, a.bridge, {"distill4": "x 4, bridge 4", "bridges": "default"}),
              "conflict": conflict(a.logs, a.output) if a.logs else None}
    front(found, a.output)
    choices(found, a.output)
    text = a.into.read_text() if a.into else None
    for name, body in tables.items():
        if body is None:
            continue
        if text is None:
            print(f"\n{name}\n\n{body}")
            continue
        text = re.sub(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + "\n" + body + "\n\n" + m[2], text, flags=re.S)
    if a.into:
        a.into.write_text(text)
        print(f"wrote {a.into}")


if __name__ == "__main__":
    main()
