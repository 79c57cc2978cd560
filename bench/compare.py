"""Holds the program against the PyTorch peer: both in turn, on the same model, as CSV and a plot.

    python bench/compare.py --variant build/release/variant --model d16.safetensors --name d16 \\
        --python /opt/torch/bin/python --config depth=16 --config depth=8,bridge=6

For every configuration the peer's process stays loaded (and compiled) and draws a picture whenever
asked; between two of its pictures the program runs, in each of its types in turn. Only samples that
nothing else disturbed count, where there are any; the CSV of samples keeps them all with the share
of the processors that other processes took. Nothing here is needed to build or use the program.

    python bench/compare.py --train small.json --name training --config depth=4,bridge=4,batch=64

does the same for steps of supernet training; small.json is a configuration as `variant synth` reads
it. One sample is one process of either side; the times are the medians of its steps.
"""
import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

from peer_torch import MALLOC, QUIET, WAYS, wait_for_quiet

HERE = os.path.dirname(os.path.abspath(__file__))
FIELDS = ["config", "program", "way", "batch", "threads", "picture_ms", "transformer_ms",
          "decoder_ms", "peak_rss_bytes", "others"]
TRAIN_FIELDS = ["config", "program", "way", "path", "pictures_per_second", "others"]
TRAIN_WAYS = "float32,float32-products,autocast,autocast-products"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variant", default="build/release/variant")
    parser.add_argument("--python", action="append", default=[],
                        help="an interpreter with torch; several: several releases")
    parser.add_argument("--model", help="a file of the program's; or --train")
    parser.add_argument("--train", help="a configuration: compares training steps")
    parser.add_argument("--name", required=True, help="of the results, such as d16")
    parser.add_argument("--config", action="append", default=[],
                        help="depth=D,bridge=N,batch=B, any of them; several may be given")
    parser.add_argument("--weights", default="f32,bf16,int8", help="types of the program")
    parser.add_argument("--kv", help="types of its keys and values (default: the program's own)")
    parser.add_argument("--ways", help="of the peer (default: all; in training the eager ones)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60,
                        help="seconds to wait for quiet before each sample")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--nice", type=int, default=0, help="priority of both while timed")
    parser.add_argument("--results", default=os.path.join(HERE, "results"))
    parser.add_argument("--plot", help="an SVG file (needs matplotlib)")
    parser.add_argument("--only-plot", action="store_true", help="from an existing CSV")
    options = parser.parse_args()
    if not (options.model or options.train or options.only_plot):
        parser.error("what to compare? give --model or --train")
    options.ways = options.ways or (TRAIN_WAYS if options.train else ",".join(WAYS))
    return options


def machine():
    """One line: processor, memory, system."""
    model, memory = platform.machine(), ""
    with open("/proc/cpuinfo") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    for key, value in lines.items():
        if key.strip() == "model name":
            model = value.strip()
        if key.strip() == "flags":
            known = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
            model += " (" + " ".join(f for f in known if f in value.split()) + ")"
    with open("/proc/meminfo") as file:
        memory = f"{int(file.readline().split()[1]) / 2**20:.0f} GiB"
    return f"{model}, {os.cpu_count()} processors, {memory}, {platform.platform()}"


def words_of(config):
    """depth=8,bridge=6 to the options both programs know."""
    words = []
    for part in config.split(","):
        key, value = part.split("=")
        words += ["--" + key, value]
    return words


# ---- a sample of each ----


def run_variant(options, config, weights):
    """One process: a warm-up and one picture. None where the program cannot."""
    command = ["nice", "-n", str(options.nice)] if options.nice else []
    command += [options.variant, "bench", "-m", options.model, "--json", "--repeat", "1",
                "--threads", str(options.threads), "--weights", weights] + words_of(config)
    if options.kv:
        command += ["--kv", options.kv]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    busy = busy_seconds()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    if done.returncode != 0:
        print(f"{weights}: {done.stderr.strip()[:200]}", file=sys.stderr)
        return None
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    line = json.loads(done.stdout)
    return {"config": config, "program": "variant", "way": weights, "batch": line["batch"],
            "threads": options.threads, "picture_ms": line["picture_ms"],
            "transformer_ms": line["transformer_ms"], "decoder_ms": line["decoder_ms"],
            "peak_rss_bytes": line["peak_rss_bytes"],
            "others": round(max(0.0, (busy_seconds() - busy - own) / seconds / os.cpu_count()), 3)}


def busy_seconds():
    with open("/proc/stat") as file:
        ticks = [int(t) for t in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class PeerProcess:
    def __init__(self, options, python, config, way):
        self.config = config
        command = [python, os.path.join(HERE, "peer_torch.py"), "--serve", "--way", way, "--model",
                   options.model, "--threads", str(options.threads), "--nice",
                   str(options.nice)] + words_of(config)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, **MALLOC})
        self.alive = self.process.stdout.readline().strip() == "ready"

    def sample(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.alive = False
            return None
        return {**{k: v for k, v in json.loads(line).items() if k in FIELDS}, "config": self.config}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---- the whole comparison ----


def compare(options, samples_path):
    with open(samples_path, "w", newline="") as file:
        file.write(f"# {machine()}\n")
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()

        def keep(sample):
            if sample:
                out.writerow(sample)
                file.flush()
                print(f"{sample['config']:22} {sample['program']:16} {sample['way']:18} "
                      f"{sample['picture_ms']:9.1f} ms  others {sample['others']:.2f}", flush=True)
            return sample is not None
        for config in options.config or ["batch=1"]:
            types = options.weights.split(",")
            for python in options.python or [sys.executable]:
                for way in options.ways.split(","):
                    peer = PeerProcess(options, python, config, way)
                    for turn in range(options.rounds):
                        if not peer.alive:
                            print(f"{way}: did not run", file=sys.stderr)
                            break
                        wait_for_quiet(time.perf_counter() + options.patience)
                        keep(peer.sample())
                        if types:
                            weights = types[turn % len(types)]
                            wait_for_quiet(time.perf_counter() + options.patience)
                            if not keep(run_variant(options, config, weights)):
                                types.remove(weights)
                    peer.close()


# ---- training ----


def train_variant(options, config, precision):
    command = ["nice", "-n", str(options.nice)] if options.nice else []
    command += [options.variant, "bench", "train", "--arch", options.train, "--precision",
                precision, "--repeat", "3", "--json", "--threads", str(options.threads)]
    command += words_of(config)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"{precision}: {done.stderr.strip()[:200]}", file=sys.stderr)
        return []
    line = json.loads(done.stdout)
    return [{"config": config, "program": "variant", "way": precision, "path": path,
             "pictures_per_second": line[key]["pictures_per_second"]}
            for path, key in (("full", "full"), ("subnet", "subnet"))]


def train_peer(options, python, config, way):
    with open(options.train) as file:
        shape = json.load(file)
    command = [python, os.path.join(HERE, "peer_torch_train.py"), "--json", "--way", way,
               "--layers", str(shape["depth"]), "--width", str(shape["width"]),
               "--heads", str(shape["heads"]), "--codes", str(shape["V"]),
               "--latent", str(shape["Cvae"]), "--classes", str(shape["classes"]),
               "--sides", ",".join(map(str, shape["patch_nums"])), "--repeat", "1",
               "--patience", "0", "--nice", str(options.nice), "--threads", str(options.threads)]
    done = subprocess.run(command + words_of(config), stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **MALLOC})
    lines = [json.loads(line) for line in done.stdout.splitlines()] if not done.returncode else []
    return [{"config": config, "program": line["program"], "way": way,
             "path": "full" if line["path"] == "full" else "subnet",
             "pictures_per_second": line["pictures_per_second"]} for line in lines]


def compare_training(options, samples_path, path):
    rows = []
    with open(samples_path, "w", newline="") as file:
        file.write(f"# {machine()}\n")
        out = csv.DictWriter(file, TRAIN_FIELDS, lineterminator="\n")
        out.writeheader()

        def keep(run, *words):
            wait_for_quiet(time.perf_counter() + options.patience)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            busy, lines = busy_seconds(), run(options, *words)
            seconds = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            others = max(0.0, (busy_seconds() - busy - own) / seconds / os.cpu_count())
            for line in lines:
                rows.append({**line, "others": round(others, 3)})
                out.writerow(rows[-1])
                print(*rows[-1].values(), flush=True)
            file.flush()
        for config in options.config or ["batch=64"]:
            for _ in range(options.rounds):
                for way in options.ways.split(","):
                    for python in options.python or [sys.executable]:
                        keep(train_peer, python, config, way)
                for precision in ("f32", "bf16"):
                    keep(train_variant, config, precision)
    with open(path, "w", newline="") as file:
        file.write(f"# {machine()}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(TRAIN_FIELDS[:4] + ["samples", "disturbed", "median", "least", "most"])
        for key in dict.fromkeys(tuple(row[k] for k in TRAIN_FIELDS[:4]) for row in rows):
            group = [row for row in rows if tuple(row[k] for k in TRAIN_FIELDS[:4]) == key]
            quiet = [row for row in group if row["others"] < QUIET]
            values = [row["pictures_per_second"] for row in quiet or group]
            out.writerow(list(key) + [len(values), int(not quiet), statistics.median(values),
                                      min(values), max(values)])


# ---- results ----


def read_samples(path):
    with open(path, newline="") as file:
        head = file.readline().lstrip("# ").strip()
        return head, list(csv.DictReader(line for line in file if not line.startswith("#")))


def summarise(samples_path, path):
    """Medians, least and most of the undisturbed samples; of all where there is none."""
    head, rows = read_samples(samples_path)
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in FIELDS[:5]), []).append(row)
    with open(path, "w", newline="") as file:
        file.write(f"# {head}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(FIELDS[:5] + ["samples", "disturbed"] + [
            f"{part}_{what}_ms" for part in ("picture", "transformer", "decoder")
            for what in ("median", "least", "most")] + ["peak_rss_bytes"])
        for key, group in groups.items():
            quiet = [row for row in group if float(row["others"]) < QUIET]
            chosen = quiet or group
            cells = list(key) + [len(chosen), int(not quiet)]
            for part in ("picture", "transformer", "decoder"):
                values = [float(row[part + "_ms"]) for row in chosen]
                cells += [f"{f(values):.1f}" for f in (statistics.median, min, max)]
            out.writerow(cells + [max(int(row["peak_rss_bytes"]) for row in chosen)])


def plot(path, svg):
    """For each configuration a group of bars: the program by type, each release's best way."""
    import matplotlib
    matplotlib.use("agg" if svg.endswith(".png") else "svg")
    import matplotlib.pyplot as plt
    head, rows = read_samples(path)
    bars = {}
    for row in rows:
        own = row["program"] == "variant"
        number = "float32" if row["way"].startswith("float32") else "bfloat16"
        name = "variant " + row["way"] if own else f"{row['program']}, best {number}"
        best = bars.setdefault(name, {})
        old = best.get(row["config"])
        if not old or float(row["picture_median_ms"]) < float(old["picture_median_ms"]):
            best[row["config"]] = row
    configs = list(dict.fromkeys(row["config"] for row in rows))
    names = sorted(bars, key=lambda name: (name.startswith("variant"), name))
    figure, axes = plt.subplots(figsize=(9, 4))
    colours = plt.get_cmap("tab20")
    for i, name in enumerate(names):
        for j, config in enumerate(configs):
            row = bars[name].get(config)
            if not row:
                continue
            x = j + (i - (len(names) - 1) / 2) * 0.8 / len(names)
            low, middle, high = [float(row[f"picture_{w}_ms"]) / 1e3
                                 for w in ("least", "median", "most")]
            axes.bar(x, middle, 0.8 / len(names), color=colours(i),
                     label=name if j == 0 else None)
            axes.errorbar(x, middle, [[middle - low], [high - middle]], color="black",
                          linewidth=0.8)
    axes.set_xticks(range(len(configs)), configs)
    axes.set_ylabel("seconds a picture")
    axes.set_title(head.split(", Linux")[0], fontsize=8)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    figure.tight_layout()
    figure.savefig(svg, metadata={} if svg.endswith(".png") else {"Date": None})


def main():
    options = parse()
    os.makedirs(options.results, exist_ok=True)
    path = os.path.join(options.results, options.name + ".csv")
    samples_path = os.path.join(options.results, options.name + "_samples.csv")
    if options.train:
        compare_training(options, samples_path, path)
        return 0
    if not options.only_plot:
        compare(options, samples_path)
        summarise(samples_path, path)
    if options.plot:
        plot(path, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
