"""Commands that faults are tried on (cli_io_faults.py, cli_kills.py): a folder with what they read, their results, and what must hold of these."""
import csv
import json
import os
import shutil
import subprocess
import tempfile

TINY = {"seed": "T", "depth": 2, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
        "attn_l2_norm": True, "shared_aln": False, "ch": 32, "ch_mult": [1, 1], "nres": 1}
CHECKPOINT = "run/checkpoint.safetensors"
TRAIN = ["--data", "pictures", "-o", "run", "--batch", "4", "-t", "1", "-q", "--log-every", "1"]
KINDS = {
    "tokenizer": (["train", "tokenizer", *TRAIN, "--side", "8", "--codes", "16", "--latent", "8"], "tokenizer.safetensors"),
    "transformer": (["train", "transformer", *TRAIN, "--tokenizer", "tiny.safetensors", "--depth", "2", "--width", "32", "--heads", "1"],
                    "transformer.safetensors"),
    "supernet": (["train", "supernet", *TRAIN, "--model", "tiny.safetensors", "--depths", "1", "--bridge", "1"], "transformer.safetensors"),
    "classifier": (["train", "classifier", *TRAIN, "--side", "8", "--crop", "0", "--mult", "1,2"], "classifier.safetensors"),
    "decoder": (["train", "decoder", *TRAIN, "--tokenizer", "tiny.safetensors", "--size", "tiny"], "model.safetensors"),
}


def is_json(data):
    try:
        json.loads(data)
        return True
    except ValueError:
        return False


def is_lines(data):
    return all(is_json(line) for line in data.splitlines()) and data.endswith(b"\n")


def is_page(data):
    return data.rstrip().endswith(b"</html>")


def is_table(data):
    rows = list(csv.reader(data.decode().splitlines()))
    return len({len(row) for row in rows}) == 1


class Command:
    """results: files that have the same bytes each time; judged: others, with what must be true of them (they hold times).
    replaced: results that are there before, of other bytes. prepare: commands before it."""

    def __init__(self, name, words, results, judged=None, replaced=False, prepare=None):
        self.name, self.words, self.results, self.judged = name, words, results, judged or {}
        self.replaced, self.prepare = replaced, prepare

    def again(self, folder):
        """What goes on after a fault."""
        going_on = CHECKPOINT in self.results and os.path.exists(os.path.join(folder, CHECKPOINT)) and "--resume" not in self.words
        return [*self.words, "--resume"] if going_on else self.words


def train_commands(steps, save_every):
    made = []
    for kind, (words, model) in KINDS.items():
        words = [*words, "--steps", str(steps), "--save-every", str(save_every), "--seed", "3"]
        results = ["run/" + model, CHECKPOINT]
        judged = {"run/log.jsonl": is_lines}
        made.append(Command("train " + kind, words, results, judged))
        if kind in ("tokenizer", "transformer"):
            first = [*words, "--stop-after", str(save_every)]
            made.append(Command("resume " + kind, [*words, "--resume"], results, judged, prepare=[first]))
    return made


def commands():
    model = ["-m", "tiny.safetensors", "-t", "1"]
    encode = ["encode", *model, "pictures/left/00.png", "pictures/right/00.png", "-o"]
    sweep = ["sweep", *model, "-o", "swept", "--depths", "1,2", "--bridges", "1", "--repeat", "1", "--pictures", "1"]
    swept = {"swept/sweep.json": is_json, "swept/sweep.csv": is_table, "swept/report.html": is_page}
    return [
        Command("generate", ["generate", *model, "--tokens-out", "t.npz", "-o", "a.png"], ["a.png", "t.npz"], replaced=True),
        Command("generate two", ["generate", *model, "-n", "2", "--animate", "grow.png", "-o", "x_%d.jpg"], ["x_0.jpg", "x_1.jpg", "grow_0.png", "grow_1.png"]),
        Command("convert", ["convert", "tiny.safetensors", "-o", "c.safetensors", "--type", "f16", "-t", "1"], ["c.safetensors"], replaced=True),
        Command("convert shards", ["convert", "tiny.safetensors", "-o", "s.safetensors", "--max-shard-size", "400K", "-t", "1"],
                ["s.safetensors.index.json", "s-00001-of-00004.safetensors", "s-00004-of-00004.safetensors"]),
        Command("convert torch", ["convert", "tiny.safetensors", "-o", "v.pth", "--to", "torch-names", "--tokenizer-out", "w.pth", "-t", "1"],
                ["v.pth", "w.pth"]),
        Command("inspect torch", ["inspect", "v.pth", "--tokenizer", "w.pth"], ["out.txt"],
                prepare=[["convert", "tiny.safetensors", "-o", "v.pth", "--to", "torch-names", "--tokenizer-out", "w.pth"]]),
        Command("encode", [*encode, "t.safetensors"], ["t.safetensors"], replaced=True),
        Command("encode data", ["encode", *model, "--data", "pictures", "-o", "t.npz"], ["t.npz"]),
        Command("decode", ["decode", *model, "t.npz", "-o", "d_%d.png"], ["d_0.png", "d_1.png"], prepare=[[*encode, "t.npz"]]),
        *train_commands(4, 2),
        Command("sweep", sweep, [], swept),
        Command("sweep again", [*sweep, "--zones", "1-2"], [], swept, prepare=[sweep]),
        Command("plan", ["plan", *model, "--max-latency", "10s"], [], {"cache": None}),
        Command("plan again", ["plan", *model, "--max-latency", "10s"], [], {"cache": None}, prepare=[["plan", *model, "--max-latency", "10s"]]),
    ]


class Place:
    """Folders below one: a master with a model and pictures, and a copy for each run."""

    def __init__(self, variant):
        self.variant = variant
        self.top = tempfile.mkdtemp(prefix="variant-faults-", dir="/tmp")
        self.serial = 0
        self.environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", ASAN_OPTIONS="detect_leaks=0")
        self.master = self.new("master")
        with open(os.path.join(self.master, "tiny.json"), "w", encoding="ascii") as file:
            json.dump(TINY, file)
        self.run(self.master, ["synth", "tiny.json", "-o", "tiny.safetensors"])
        for number, name in enumerate(("left", "right")):
            os.makedirs(os.path.join(self.master, "pictures", name))
            self.run(self.master, ["generate", "-m", "tiny.safetensors", "--class", str(number), "-n", "5", "-t", "1", "-o",
                                   f"pictures/{name}/%02d.png"])

    def remove(self):
        shutil.rmtree(self.top)

    def new(self, name):
        self.serial += 1
        path = os.path.join(self.top, f"{name.replace(' ', '-')}-{self.serial}")
        os.mkdir(path)
        return path

    def copy(self, folder, name):
        path = os.path.join(self.top, f"{name.replace(' ', '-')}-{self.serial}")
        self.serial += 1
        shutil.copytree(folder, path)  # with times: a kept file is known by them
        return path

    def settings(self, folder):
        return {"cwd": folder, "env": dict(self.environment, XDG_CACHE_HOME=os.path.join(folder, "cache"), HOME=folder)}

    def start(self, folder, words, before=()):
        """A process; its words go to out.txt and err.txt of its folder."""
        with open(os.path.join(folder, "out.txt"), "wb") as out, open(os.path.join(folder, "err.txt"), "wb") as err:
            return subprocess.Popen([*before, self.variant, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, **self.settings(folder))

    def run(self, folder, words, before=(), right=True):
        process = self.start(folder, words, before)
        try:
            status = process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"no end within two minutes: {words}") from None
        if right and status != 0:
            raise AssertionError(f"exit {status}: {words}: {read(folder, 'err.txt').decode()[-500:]}")
        return status

    def prepared(self, command):
        """A folder in which the command may begin, and the bytes of its results after it."""
        begin = self.copy(self.master, command.name)
        for words in command.prepare or []:
            self.run(begin, words)
        if command.replaced:
            for name in command.results:
                with open(os.path.join(begin, name), "wb") as file:
                    file.write(b"what was there before " + name.encode())
        before = files_of(begin)
        done = self.copy(begin, command.name)
        self.run(done, command.words)
        return begin, before, done


def read(folder, name):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def files_of(folder):
    """{name: bytes}, what was said left out."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            short = os.path.relpath(os.path.join(path, name), folder)
            if short not in ("out.txt", "err.txt"):
                found[short] = read(folder, short)
    return found


def judge_files(command, folder, right, before, whole):
    """What is wrong with the files: `right` is the bytes of a run without a fault; whole: the run said that all is done."""
    faults = []
    for name in command.results:
        now = read(folder, name)
        old = before.get(name) if name != "out.txt" else None
        if name == "out.txt" and not whole:
            continue
        checkpoint = name == CHECKPOINT and now is not None  # of an earlier step: that it is whole, going on shows
        if now == right[name] or (not whole and (now == old or checkpoint)):
            continue
        faults.append(f"{name} {'is missing' if now is None else 'has other bytes'}")
    for name, judge in command.judged.items():
        now = read(folder, name) if judge else None
        if judge and (now is None and (whole or name in before) or now is not None and not judge(now)):
            faults.append(f"{name} {'is missing' if now is None else 'is no whole file'}")
    for path, _, names in os.walk(os.path.join(folder, "cache")):
        faults += [f"{name} is no whole file" for name in names if name.endswith(".json") and not is_json(read(path, name))]
    return faults


def temporaries(folder):
    return [name for name in files_of(folder) if name.endswith(".tmp")]
