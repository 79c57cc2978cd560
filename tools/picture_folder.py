"""picture_folder.py - what the scripts share that make data sets of small pictures: the folder they write, and what they need."""
import argparse
import os
import shutil
import sys


def fail(message):
    sys.exit(f"{os.path.basename(sys.argv[0]).removesuffix('.py')}: {message}")


def need_packages(needs):
    """Ends the program with one line that names all that is missing; `needs`: [(what, Debian's package, whether it is there)]."""
    missing = [(what, package) for what, package, there in needs if not there]
    if missing:
        fail(f"missing: {', '.join(what for what, _ in missing)}; apt-get install --no-install-recommends "
             f"{' '.join(package for _, package in missing)} (and run this with /usr/bin/python3)")


def clear(folder, mark, made_by):
    """Makes the folder, or removes the splits of one that has the file `mark`; leaves every other alone."""
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(os.path.join(folder, mark)):
        fail(f"{folder}: is not empty, and not written by this script")
    for split in ("train", "test"):
        if os.path.isdir(os.path.join(folder, split)):
            shutil.rmtree(os.path.join(folder, split))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, mark), "w", encoding="utf-8") as file:
        file.write(made_by)


def at_least(least):
    """For argparse: a whole number from `least` on."""
    def number(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: expected a number of {least} or more")
        return int(text)
    return number
