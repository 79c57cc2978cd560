"""A command whose folder is a tmpfs of sizes from next to nothing to nearly enough: cli_full_disk.py BUILD_FOLDER [--all] (mounts; run by cli_full_disk.sh)."""
import os
import re
import subprocess
import sys

import faults

STEPS, SAVE_EVERY = 6, 2
PAGE = 4096
FAST = ("train transformer", "train decoder")
SIZES, MOST_SIZES = 4, 12


def mount(folder, size, how=()):
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([*how, f"size={size}"]), "none", folder], check=True)


def needed(folder):
    """Bytes of a folder's files in pages, and of the largest once more: the old one is there until the new one is whole."""
    sizes = [-(-os.path.getsize(os.path.join(path, name)) // PAGE) * PAGE for path, _, names in os.walk(folder) for name in names]
    return sum(sizes) + max(sizes)


def try_size(place, command, begin, right, before, size):
    """(what is wrong, was the disk full, was there a checkpoint then)"""
    folder = place.copy(begin, command.name)
    inside = os.path.join(folder, "swept" if command.name == "sweep" else "run")
    os.makedirs(inside)
    mount(inside, size)
    status = place.run(folder, command.words, right=False)
    lines = [line for line in faults.read(folder, "err.txt").decode().splitlines() if re.match(r"variant[a-z ]*: ", line)]
    wrong = faults.judge_files(command, folder, right, before, status == 0)
    kept = os.path.exists(os.path.join(folder, faults.CHECKPOINT))
    if status:
        wrong += [] if len(lines) == 1 and "No space left" in lines[0] and os.path.basename(inside) + "/" in lines[0] else [f"exit {status}: {lines}"]
        wrong += [f"{name} stays" for name in faults.temporaries(folder)]
        mount(inside, "64m", ["remount"])
        if place.run(folder, command.again(folder), right=False) != 0:
            wrong.append("cannot go on: " + faults.read(folder, "err.txt").decode()[-300:])
        wrong += faults.judge_files(command, folder, right, before, True)
    subprocess.run(["umount", inside], check=True)
    return [f"{command.name} in {size} bytes: {what}" for what in wrong], status != 0, bool(status) and kept


def main():
    whole = "--all" in sys.argv[2:]
    place = faults.Place(os.path.join(os.path.abspath(sys.argv[1]), "variant"))
    tried = full = kept = count = 0
    try:
        for command in [c for c in faults.train_commands(STEPS, SAVE_EVERY) if c.name.startswith("train ")] + [c for c in faults.commands() if c.name == "sweep"]:
            if not whole and command.name not in FAST:
                continue
            begin, before, done = place.prepared(command)
            right = {name: faults.read(done, name) for name in command.results}
            most, sizes = needed(os.path.join(done, "swept" if command.name == "sweep" else "run")), MOST_SIZES if whole else SIZES
            for i in range(sizes):
                wrong, failed, had = try_size(place, command, begin, right, before, max(PAGE, int(most * (i + 1) / (sizes + 1)) // PAGE * PAGE))
                for line in wrong:
                    print("FAULT", line, flush=True)
                tried, full, kept, count = tried + 1, full + failed, kept + had, count + len(wrong)
    finally:
        place.remove()
    print(f"{tried} disks, {full} of them full before the end, {kept} with a checkpoint that was gone on with, {count} faults")
    return 1 if count or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
