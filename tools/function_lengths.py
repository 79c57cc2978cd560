#!/usr/bin/env python3
"""How long the functions of src/ and cli/ are: the median and the longest.

    tools/function_lengths.py                       # both figures, and the ten longest
    tools/function_lengths.py --median 10 --longest 88   # fails where a bound is broken, and says by whom

A function's length is the lines from the first of its head to its closing brace. The sources are as clang-format
leaves them: a definition begins in the first column, and the first line after it that begins with a brace ends it.
"""
import argparse
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NO_FUNCTION = ("typedef", "#", "extern", "}", "{", "/", "*")


def head_of(lines, brace):
    """Where the definition whose body opens at line `brace` begins; None: it is no function."""
    at = brace
    while at > 0 and lines[at][:1] in (" ", "\t", "{"):
        at -= 1
    first = lines[at]
    named = re.match(r"[A-Za-z_].*\(", first)
    if not named or first.startswith(NO_FUNCTION) or "=" in first.split("(")[0]:
        return None
    return at


def functions(path):
    """(length, line, head) of every function that a file defines."""
    lines = path.read_text(encoding="utf-8").split("\n")
    begin = None
    for number, line in enumerate(lines):
        if begin is None and (line.rstrip() == "{" or re.search(r"\)\s*\{$", line)):
            begin = head_of(lines, number)
        elif begin is not None and line.startswith("}"):
            yield number - begin + 1, begin + 1, lines[begin]
            begin = None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--median", type=float, help="the most that the median may be")
    arguments.add_argument("--longest", type=int, help="the most lines that a function may have")
    arguments.add_argument("--folder", type=pathlib.Path, default=ROOT, help="with src/ and cli/ in it")
    asked = arguments.parse_args()
    found = []
    for folder in ("src", "cli"):
        for path in sorted((asked.folder / folder).rglob("*.[ch]")):
            found += [(length, str(path.relative_to(asked.folder)), line, head) for length, line, head in functions(path)]
    if not found:
        sys.exit(f"{asked.folder}: expected src/ and cli/ with C files in them")
    found.sort(key=lambda each: (-each[0], each[1], each[2]))
    median = statistics.median(each[0] for each in found)
    print(f"{len(found)} functions: median {median:g} lines, longest {found[0][0]}")
    limit = asked.longest
    shown = found[:10] if limit is None else [each for each in found if each[0] > limit]
    for length, path, line, head in shown:
        print(f"{length:4d}  {path}:{line}: {head}")
    if limit is not None and shown:
        print(f"expected at most {limit} lines: split what is longer")
    if asked.median is not None and median > asked.median:
        print(f"expected a median of at most {asked.median:g} lines: new functions are longer than the old ones")
    broken = (limit is not None and shown) or (asked.median is not None and median > asked.median)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
