"""Runs every command that the documents show, on small inputs: documented_commands.txt says what is made smaller or left out.

    documented_commands.py VARIANT [DOCUMENT...]     --list prints the commands as they would run, and runs nothing; --times
                                                     says what each took; --slow runs slow ones too

A command is a line of an indented or fenced block that begins with variant, build/release/variant, tools/..., ./demo.sh, ./test.sh, curl or kill,
or with variables before these (a line that ends in a backslash goes on), without the comment behind it. Each document has a folder of its own, in which
its commands run one after another, so that one may use what another made; documents run beside each other, each on one processor.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BEGINS = re.compile(r"(?:[A-Z_]+=\S+ )*(variant|build/release/variant|tools/\S+|\./demo\.sh|\./test\.sh|python3|curl|kill)(\s|$)")
sys.path.insert(0, os.path.join(HERE, "situations"))
import inputs  # noqa: E402
import torch_files  # noqa: E402


# ---- what the documents say

def lines_of_blocks(text):
    """Lines inside fenced blocks and of indented ones, without their indent."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            yield line.strip()
        elif line.startswith("    "):
            yield line.strip()
        else:
            yield ""


def commands_of(path):
    with open(path, encoding="utf-8") as file:
        lines = list(lines_of_blocks(file.read()))
    found, whole = [], ""
    for line in lines:
        whole += line[:-1].rstrip() + " " if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        whole = re.sub(r"\s+(#|\((and|or) ).*$", "", whole.removeprefix("$ ")).strip()
        if BEGINS.match(whole):
            found.append(re.sub(r"(?<=\S) {2,}", " ", whole))
        whole = ""
    return found


# ---- the table

class Row:
    def __init__(self, line, number):
        fields = re.split(r"\t+| {2,}", line.strip())
        if len(fields) != 3 or fields[0] not in ("small", "skip", "slow", "wrong", "before"):
            sys.exit(f"documented_commands.txt:{number}: expected small, skip, slow, wrong or before, a pattern and one field more")
        self.kind, self.pattern, self.value = fields
        self.expression, self.used = re.compile(self.pattern), 0


def read_table():
    with open(os.path.join(HERE, "documented_commands.txt"), encoding="utf-8") as file:
        return [Row(line, i + 1) for i, line in enumerate(file) if line.strip() and not line.startswith("#")]


LIMIT = 800 if "--slow" in sys.argv else 120
STOPS = ("skip", "wrong") if "--slow" in sys.argv else ("skip", "slow", "wrong")


def prepare(command, table):
    """The command to run, and the row that keeps it from running or expects it to fail, or None."""
    command = re.sub(r"^build/release/variant\b", "variant", command)
    stop = next((row for row in table if row.kind in STOPS and row.expression.search(command)), None)
    if stop:
        stop.used += 1
    for row in table:
        if row.kind == "small" and row.expression.search(command):
            command = row.expression.sub(row.value, command)
            row.used += 1
    return command, stop


# ---- inputs

SHAPE = ('{"seed": "documents", "depth": %d, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": %s, '
         '"attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}')


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_idx(folder, pictures, kind):
    """`pictures` 28x28 pictures of three classes, as MNIST's files are, not compressed."""
    import random
    source = random.Random(pictures)
    with open(os.path.join(folder, f"{kind}-images-idx3-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (pictures, 28, 28)))
        file.write(bytes(min(255, 60 * (i % 3) + source.randrange(80)) for i in range(pictures) for _ in range(784)))
    with open(os.path.join(folder, f"{kind}-labels-idx1-ubyte"), "wb") as file:
        file.write(bytes([0, 0, 8, 1]) + pictures.to_bytes(4, "big") + bytes(i % 3 for i in range(pictures)))


def run(arguments, folder, environment=None):
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        sys.exit(f"inputs: {' '.join(arguments)}: {done.stderr.strip()}")


def write_statistics(path, size):
    """An .npz of mu (zeros) and sigma (the unit matrix)."""
    row = bytearray(8 * size)
    one = b"\0\0\0\0\0\0\xf0\x3f"
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in (("mu", (size,)), ("sigma", (size, size))):
            header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
            header += " " * (63 - (len(header) + 10) % 64) + "\n"
            data = b"".join(bytes(row[:8 * i]) + one + bytes(row[8 * i + 8:]) for i in range(size)) if name == "sigma" else bytes(row)
            archive.writestr(name + ".npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data)


def make_torch(folder, variant, config, part, name):
    run([variant, "synth", config, "--only", part, "-o", "part.safetensors"], folder)
    torch_files.save(os.path.join(folder, name), torch_files.state(os.path.join(folder, "part.safetensors")))
    os.remove(os.path.join(folder, "part.safetensors"))


def make_inputs(folder, variant):
    """What every document's commands find beside them."""
    few, many, published = [1, 2, 4], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1, 2, 3, 4, 5, 6, 8, 10, 13, 16]
    for name, depth, scales in (("tiny", 3, few), ("tiny16", 16, many), ("tiny30", 30, many), ("d16", 16, published), ("d30", 30, published)):
        write(os.path.join(folder, name + ".json"), SHAPE % (depth, scales))
    run([variant, "synth", "d16.json", "-o", "d16.safetensors"], folder)
    make_torch(folder, variant, "d16.json", "transformer", "var_d16.pth")
    make_torch(folder, variant, "d30.json", "transformer", "var_d30.pth")
    make_torch(folder, variant, "d16.json", "tokenizer", "vae_ch160v4096z32.pth")
    for root, count in (("pictures", 12), ("imagenet/train", 4), ("emoji/train", 8), ("emoji/test", 4)):
        inputs.classes(os.path.join(folder, root), ["cat", "cats", "dog"], count, width=32, height=32)
    run([variant, "synth", "d16.json", "--only", "tokenizer", "-o", "vae.safetensors"], folder)
    os.makedirs(os.path.join(folder, "mnist"))
    write_idx(os.path.join(folder, "mnist"), 24, "train")
    write_idx(os.path.join(folder, "mnist"), 12, "t10k")
    os.makedirs(os.path.join(folder, "models/emoji"))
    shutil.copy(os.path.join(folder, "d16.safetensors"), os.path.join(folder, "models/emoji/emoji.safetensors"))
    run([variant, "train", "classifier", "--data", "pictures", "-o", "run", "--side", "32", "--steps", "2",
         "--batch", "4", "-q"], folder)
    shutil.copy(os.path.join(folder, "run/classifier.safetensors"), os.path.join(folder, "models/emoji"))
    shutil.rmtree(os.path.join(folder, "run"))


def furnish(room, base, text, variant):
    """A document's folder: the inputs, and the large ones where its text asks for them."""
    shutil.copytree(base, room)
    for model in ("fashion", "fashion-base", "cartoon"):
        if f"models/{model}" in text:
            os.makedirs(os.path.join(room, "models", model))
            for file in glob.glob(os.path.join(ROOT, "models", model, "*.safetensors")):
                shutil.copy(file, os.path.join(room, "models", model))
    if "tools/edit_masks.py" in text:
        os.makedirs(os.path.join(room, "tools"), exist_ok=True)
        os.symlink(os.path.join(ROOT, "tools/edit_masks.py"), os.path.join(room, "tools/edit_masks.py"))
    if "tests/golden" in text:
        os.makedirs(os.path.join(room, "tests"))
        os.symlink(os.path.join(HERE, "golden"), os.path.join(room, "tests/golden"))
    if "pt_inception" in text:
        run([variant, "synth", "inception", "-o", "inception.safetensors"], room)
        write_statistics(os.path.join(room, "real.npz"), 2048)


# ---- the run

class Tally:
    def __init__(self):
        self.right, self.skipped, self.faults, self.lines = 0, 0, 0, []

    def say(self, line):
        self.lines.append(line)

    def count(self, document, command, small, stop, code, words):
        """One command that ran: right, or a line of SKIP or FAULT."""
        if stop and code != 0:
            self.skipped += 1
            self.say(f"SKIP {document}: {command}: known to fail: {stop.value}")
        elif stop:
            self.faults += 1
            self.say(f"FAULT {document}: {command}: succeeds; take its row out of documented_commands.txt")
        elif code != 0:
            self.faults += 1
            self.say(f"FAULT {document}: {command}\n    as {small}\n    exit {code}: {words.strip()[-300:]}")
        else:
            self.right += 1


def run_command(command, room, environment):
    try:
        done = subprocess.run(["bash", "-c", command], cwd=room, env=environment, capture_output=True, text=True, timeout=LIMIT,
                              errors="replace", stdin=subprocess.DEVNULL)
        return done.returncode, done.stderr or done.stdout
    except subprocess.TimeoutExpired:
        return 124, f"no end within {LIMIT} seconds"


def stop_server(room):
    """The one that a document's `variant serve` left, which the table starts in the background; its process is in serve.pid."""
    path = os.path.join(room, "serve.pid")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGTERM)


def run_document(document, commands, room, table, environment):
    tally = Tally()
    if not shutil.which("curl"):
        tally.say(f"SKIP {document}: no curl")
        commands = [command for command in commands if not command.startswith("curl ")]
    for command in commands:
        small, stop = prepare(command, table)
        if stop and stop.kind in ("skip", "slow"):
            tally.skipped += 1
            tally.say(f"SKIP {document}: {command}: {stop.value}")
            continue
        for row in table:
            if row.kind == "before" and row.expression.search(command):
                row.used += 1
                run(["bash", "-c", row.value], room, environment)
        start = time.time()
        code, words = run_command(small, room, environment)
        if "--times" in sys.argv:
            tally.say(f"{time.time() - start:6.1f} s  {small}")
        tally.count(document, command, small, stop, code, words)
    return tally


def worker(processor, documents, found, folder, variant, table):
    """Documents one after another, on one processor: threads then are one, and nobody waits for another's."""
    os.sched_setaffinity(0, {processor})
    environment = dict(os.environ, PATH=os.path.join(folder, "bin") + ":" + os.environ["PATH"], VARIANT_WATCH="off",
                       XDG_CACHE_HOME=os.path.join(folder, "cache"))
    tallies = []
    while documents:
        document = documents.pop(0)
        room = os.path.join(folder, document.replace("/", "_"))
        with open(os.path.join(ROOT, document), encoding="utf-8") as file:
            furnish(room, os.path.join(folder, "base"), file.read(), variant)
        try:
            tallies.append(run_document(document, found[document], room, table, environment))
        finally:
            stop_server(room)
        print("\n".join(tallies[-1].lines), flush=True)
        shutil.rmtree(room)
    return tallies


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if not arguments:
        sys.exit(__doc__)
    variant, documents, table = os.path.abspath(arguments[0]), arguments[1:], read_table()
    whole = not documents
    if whole:
        documents = [os.path.relpath(path, ROOT) for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "bench/README.md", "models/*/README.md")
                     for path in sorted(glob.glob(os.path.join(ROOT, pattern)))]
    found = {document: commands_of(os.path.join(ROOT, document)) for document in documents}
    if "--list" in sys.argv:
        for document in documents:
            for command in found[document]:
                small, stop = prepare(command, table)
                print(f"{document}: {small if not stop else stop.kind + ': ' + command}")
        return
    processors = sorted(os.sched_getaffinity(0))
    documents = [document for document in documents if found[document]]
    with tempfile.TemporaryDirectory(prefix="documents-") as folder, concurrent.futures.ThreadPoolExecutor() as pool:
        os.makedirs(os.path.join(folder, "bin"))
        os.makedirs(os.path.join(folder, "base"))
        os.symlink(variant, os.path.join(folder, "bin/variant"))
        os.sched_setaffinity(0, {processors[0]})
        make_inputs(os.path.join(folder, "base"), variant)
        work = [pool.submit(worker, processor, documents, found, folder, variant, table) for processor in processors[:4]]
        tallies = [tally for each in work for tally in each.result()]
    right, faults, skipped = (sum(getattr(tally, name) for tally in tallies) for name in ("right", "faults", "skipped"))
    for row in table:
        if whole and row.kind == "wrong" and not row.used:
            faults += 1
            print(f"FAULT documented_commands.txt: no command has {row.pattern}: take the row out")
    print(f"{right} right, {faults} faults, {skipped} skipped of {sum(map(len, found.values()))} commands")
    sys.exit(faults > 0 or (whole and right < 30))


if __name__ == "__main__":
    main()
