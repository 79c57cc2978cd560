"""Times VAR's generation in PyTorch: how fast a picture comes, in every way known to help.

    python bench/peer_torch.py --model d16.safetensors --way all --depth 8 --bridge 6 --repeat 5
    python bench/peer_torch.py --model d16.safetensors --way float32 --tokens --label 207

The model is peer_model.py. A way is a type of weights and activations, and how the code runs:

    float32, bfloat16           eager PyTorch
    autocast                    float32 weights, eager, torch.autocast to bfloat16
    *-packed                    eager, every weight laid out for oneDNN ahead of time
    *-compiled                  torch.compile (inductor), weights frozen: folded, packed, fused
    *-dynamic                   the same, one graph for all scales (compiles in a tenth of the time)
    *-tuned                     the same, products chosen by max-autotune (C++ templates or oneDNN)

Each way runs in a process of its own. With --attention auto (the default) the eager ways time three
forms of attention on each scale's shape first and take the best.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

WAYS = ["float32", "float32-packed", "float32-dynamic", "float32-compiled", "autocast",
        "autocast-dynamic", "autocast-compiled", "bfloat16", "bfloat16-packed", "bfloat16-dynamic",
        "bfloat16-compiled", "bfloat16-tuned"]
COMPILED = ("dynamic", "compiled", "tuned")
ATTENTIONS = ["sdpa", "products", "float32"]

# glibc gives large blocks back to the system and faults them in again at every use; keeping them
# is worth much to the decoder. Set before the process starts, so it starts itself again.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000",
          "MALLOC_TOP_PAD_": "67108864", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--depth", type=int, default=0, help="layers of the late scales")
    parser.add_argument("--bridge", type=int, default=6, help="scales at full depth before them")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--way", default="all", help="one of %s, several with commas, or all"
                        % ", ".join(WAYS))
    parser.add_argument("--attention", default="auto", choices=["auto"] + ATTENTIONS)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60,
                        help="seconds to wait for runs that nothing else disturbs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--label", type=int, default=0)
    parser.add_argument("--cfg", type=float, default=1.5)
    parser.add_argument("--top-k", type=int, default=900)
    parser.add_argument("--top-p", type=float, default=0.96)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--tokens", action="store_true", help="greedy; prints the tokens, no times")
    parser.add_argument("--against", help="a file of --tokens-out to compare the tokens with")
    parser.add_argument("--picture", help="write the first picture as a binary PPM")
    parser.add_argument("--against-picture", help="a PNG of the program's (needs PIL)")
    parser.add_argument("--nice", type=int, default=0, help="priority of the timed pictures")
    parser.add_argument("--serve", action="store_true", help="a picture for every line on stdin")
    parser.add_argument("--plain-malloc", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.ways = WAYS if options.way == "all" else options.way.split(",")
    for way in options.ways:
        if way not in WAYS:
            parser.error(f"--way {way}: expected {', '.join(WAYS)} or all")
    return options


# ---- other work on the machine ----


class Others:
    """The share of the processors that other processes take, since it was made."""

    def __init__(self):
        self.began, self.busy, self.own = time.perf_counter(), *self.read()

    @staticmethod
    def read():
        with open("/proc/stat") as file:
            ticks = [int(t) for t in file.readline().split()[1:9]]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        idle = ticks[3] + ticks[4]
        return ((sum(ticks) - idle) / os.sysconf("SC_CLK_TCK"), usage.ru_utime + usage.ru_stime)

    def share(self):
        busy, own = self.read()
        seconds = time.perf_counter() - self.began
        return max(0.0, (busy - self.busy - own + self.own) / seconds / os.cpu_count())


QUIET = 0.06


class Priority:
    """Within it every thread of this process runs at the given niceness."""

    def __init__(self, nice):
        self.nice = nice

    def set(self, nice):
        for thread in os.listdir("/proc/self/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)

    def __enter__(self):
        if self.nice:
            self.set(self.nice)

    def __exit__(self, *what):
        if self.nice:
            self.set(0)


def wait_for_quiet(deadline):
    """Returns when a second passed with little else running, or at the deadline."""
    while time.perf_counter() < deadline:
        others = Others()
        time.sleep(1.0)
        if others.share() < QUIET:
            return


# ---- one way ----


def guide(logits, t):
    conditional, unconditional = logits.chunk(2)
    return conditional * (1 + t) - unconditional * t


def draw(logits, options):
    """(B, n, V) to tokens (B, n)."""
    if options.greedy:
        return logits.argmax(-1)
    import torch
    flat = logits.flatten(0, 1)
    top, index = flat.topk(min(options.top_k or flat.shape[-1], flat.shape[-1]), dim=-1)
    if options.top_p:
        shares = top.softmax(-1)
        top = top.masked_fill(shares.cumsum(-1) - shares > options.top_p, float("-inf"))
    choice = torch.multinomial(top.softmax(-1), 1)
    return index.gather(-1, choice).view(logits.shape[:2])


class Runner:
    """The loop over scales, with a clock on each part."""

    def __init__(self, peer, options, way):
        import torch
        self.torch, self.peer, self.options, self.way = torch, peer, options, way
        self.streams = 2 * options.batch
        self.layers = peer.schedule(options.depth, options.bridge)
        self.cache_type = torch.bfloat16 if way.startswith("autocast") else peer.dtype
        self.condition, self.body = peer.transformer.condition, None
        self.decoder = peer.decoder
        self.cache = peer.transformer.new_cache(self.streams, self.cache_type, self.layers)
        self.attention = [self.choose_attention(k) for k in range(len(peer.sides))]

    def choose_attention(self, k):
        """The fastest form on scale k's shapes."""
        torch, options = self.torch, self.options
        if options.attention != "auto":
            return options.attention
        if self.way.endswith(COMPILED):
            return "products" if self.cache_type == torch.bfloat16 else "sdpa"
        from peer_model import attend
        heads, keys = self.peer.transformer_config["heads"], self.peer.transformer.begins[k + 1]
        size = self.peer.transformer_config["width"] // heads
        q, kv = [torch.randn(self.streams, heads, n, size).to(self.cache_type)
                 for n in (self.peer.sides[k] ** 2, keys)]
        times = {}
        for way in ATTENTIONS[:2] if self.cache_type == torch.float32 else ATTENTIONS:
            samples = []
            for _ in range(5):
                start = time.perf_counter()
                attend(q, kv, kv, 1.0, way)
                samples.append(time.perf_counter() - start)
            times[way] = min(samples)
        return min(times, key=times.get)

    def compile(self):
        import torch._inductor.config as inductor
        torch = self.torch
        inductor.freezing = True
        if "tuned" in self.way:
            inductor.max_autotune = True
        torch._dynamo.config.cache_size_limit = 64
        if hasattr(torch._dynamo.config, "accumulated_cache_size_limit"):
            torch._dynamo.config.accumulated_cache_size_limit = 256
        self.condition = torch.compile(self.condition, dynamic=False)
        self.body = torch.compile(self.peer.transformer.body,
                                  dynamic=self.way.endswith("dynamic"))
        self.decoder = torch.compile(self.decoder, dynamic=False)

    def picture(self):
        """One batch: (tokens, pictures, seconds by part)."""
        torch, peer, options = self.torch, self.peer, self.options
        last = len(peer.sides) - 1
        labels = torch.full((self.streams,), options.label)
        labels[options.batch:] = peer.transformer_config["classes"]
        spent = {"condition": 0.0, "sampling": 0.0, "quantizer": 0.0, "scales": [0.0] * (last + 1)}
        begun = time.perf_counter()
        conditions, head_condition = self.condition(labels)
        x = peer.transformer.first_input(labels)
        f_hat = torch.zeros(options.batch, *peer.latent())
        spent["condition"] = time.perf_counter() - begun
        tokens = []
        for k in range(last + 1):
            start = time.perf_counter()
            logits = peer.transformer.scale(k, self.layers[k], x, conditions, head_condition,
                                            self.cache, self.attention[k], self.body)
            done = time.perf_counter()
            tokens.append(draw(guide(logits, options.cfg * k / max(last, 1)), options))
            drawn = time.perf_counter()
            x = peer.quantizer.step(k, tokens[-1], f_hat)
            if x is not None:
                x = x.repeat(2, 1, 1).to(peer.dtype)
            spent["quantizer"] += time.perf_counter() - drawn
            spent["sampling"] += drawn - done
            spent["scales"][k] = done - start
        start = time.perf_counter()
        pictures = self.decoder(f_hat)
        spent["decoder"] = time.perf_counter() - start
        spent["picture"] = time.perf_counter() - begun
        spent["transformer"] = spent["condition"] + sum(spent["scales"])
        return torch.cat(tokens, 1), pictures, spent


def write_ppm(path, picture):
    data = (picture * 255).round().byte().permute(1, 2, 0).contiguous()
    with open(path, "wb") as file:
        file.write(b"P6 %d %d 255\n" % (data.shape[1], data.shape[0]))
        file.write(data.numpy().tobytes())


def check(options, tokens, pictures):
    """Prints tokens and differences; whether all was well."""
    good = True
    if not options.against and not options.against_picture:
        for row in tokens.tolist():
            print(" ".join(map(str, row)))
    if options.against:
        from peer_model import read_safetensors
        wanted = read_safetensors(options.against)[0]["tokens"].long()
        different = int((tokens[:len(wanted)] != wanted).sum())
        print(f"tokens: {wanted.numel()}, different: {different}")
        good = different == 0
    if options.against_picture:
        import numpy
        import torch
        from PIL import Image
        wanted = torch.from_numpy(numpy.array(Image.open(options.against_picture)))
        ours = (pictures[0] * 255).round().permute(1, 2, 0)
        far = (ours - wanted.float()).abs()
        print(f"picture: largest difference {far.max():.0f} of 255, mean {far.mean():.4f}")
        good = good and float(far.max()) <= 1
    return good


def run_way(options, way):
    import torch
    from peer_model import Peer, pack_convolutions, pack_linears
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if way.startswith("bfloat16") else torch.float32
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=way.startswith("autocast"))
    start = time.perf_counter()
    peer = Peer(options.model, dtype)
    # autocast keeps its casts of weights only where these want gradients
    for part in (peer.transformer, peer.decoder, peer.quantizer):
        part.requires_grad_(way == "autocast")
    with torch.no_grad(), autocast:
        runner = Runner(peer, options, way)
        if "packed" in way:
            pack_linears(peer.transformer)
            pack_convolutions(peer.decoder, options.batch, peer.latent())
        if way.endswith(COMPILED):
            runner.compile()
        tokens, pictures, _ = runner.picture()
        ready = time.perf_counter() - start
        if options.picture:
            write_ppm(options.picture, pictures[0])
        if options.tokens:
            sys.exit(0 if check(options, tokens, pictures) else 1)
    if options.serve:
        return serve(options, way, autocast, runner, ready)
    runs, deadline = [], time.perf_counter() + options.patience
    while sum(run["others"] < QUIET for run in runs) < options.repeat:
        if len(runs) >= options.repeat and time.perf_counter() > deadline:
            break
        wait_for_quiet(deadline)
        others = Others()
        with torch.no_grad(), Priority(options.nice), autocast:  # anew: it keeps casts
            runs.append(runner.picture()[2])
        runs[-1]["others"] = others.share()
    return summary(options, way, runs, runner, ready)


def serve(options, way, autocast, runner, ready):
    """A picture for every line on stdin, its times as a line on stdout; for compare.py."""
    import torch
    print("ready", flush=True)
    for _ in sys.stdin:
        others = Others()
        with torch.no_grad(), Priority(options.nice), autocast:
            run = runner.picture()[2]
        run["others"] = others.share()
        print(json.dumps(summary(options, way, [run], runner, ready)), flush=True)
    sys.exit(0)


def summary(options, way, runs, runner, ready):
    import torch

    def middle(values):
        return round(1e3 * statistics.median(values), 3)
    quiet = [run for run in runs if run["others"] < QUIET]
    result = {"program": "PyTorch " + torch.__version__, "way": way, "batch": options.batch,
              "threads": options.threads, "repeat": len(quiet or runs), "disturbed": not quiet,
              "depths": ",".join(str(len(s)) for s in runner.layers)}
    runs = quiet or runs
    for part in ("picture", "transformer", "decoder", "condition", "sampling", "quantizer"):
        values = [run[part] for run in runs]
        result[part + "_ms"] = middle(values)
        if part in ("picture", "transformer", "decoder"):
            result[part + "_range_ms"] = [round(1e3 * min(values), 3), round(1e3 * max(values), 3)]
    result["picture_ms"] = round(result["picture_ms"] / options.batch, 3)
    result["picture_range_ms"] = [round(v / options.batch, 3) for v in result["picture_range_ms"]]
    result["ready_s"] = round(ready, 1)  # loading, packing, compiling and the first picture
    result["others"] = round(statistics.median(run["others"] for run in runs), 3)
    result["peak_rss_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["scales"] = [{"side": side, "layers": len(runner.layers[k]),
                         "ms": middle([run["scales"][k] for run in runs]),
                         "attention": runner.attention[k]}
                        for k, side in enumerate(runner.peer.sides)]
    return result


# ---- all ways ----


def print_result(result):
    scales = " ".join(f"{s['ms']:.0f}" for s in result["scales"])
    least, most = result["picture_range_ms"]
    print(f"{result['way']:18} picture {result['picture_ms']:8.1f} ms ({least:.1f}..{most:.1f})  "
          f"transformer {result['transformer_ms']:8.1f}  decoder {result['decoder_ms']:8.1f}  "
          f"sampling {result['sampling_ms']:6.1f}  peak {result['peak_rss_bytes'] / 1e6:.0f} MB  "
          f"ready {result['ready_s']:.0f} s"
          f"{'  DISTURBED' if result['disturbed'] else ''} ({result['repeat']} runs)\n"
          f"{'':18} by scale {scales}", flush=True)


def main():
    options = parse()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if not options.plain_malloc and "MALLOC_MMAP_MAX_" not in os.environ:
        os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **MALLOC})
    if options.tokens:
        options.greedy = True
    if len(options.ways) == 1:
        result = run_way(options, options.ways[0])
        print(json.dumps(result)) if options.json else print_result(result)
        return 0
    failed = 0
    for way in options.ways:
        command = [sys.executable, os.path.abspath(__file__), "--json"]
        command += [a for i, a in enumerate(sys.argv[1:], 1)
                    if a not in ("--way", "--json") and sys.argv[i - 1] != "--way"]
        done = subprocess.run(command + ["--way", way], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            failed += 1
            print(f"{way}: failed ({done.returncode})", file=sys.stderr)
        elif options.json or options.tokens:
            print(done.stdout, end="", flush=True)
        else:
            print_result(json.loads(done.stdout))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
