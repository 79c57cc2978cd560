#!/usr/bin/env python3
"""Walks the tables of options (variant help --format table) of every command: each row in --help, manual page and completion;
defaults that nobody wrote by hand; names that mean different things said to; and words taken alike everywhere.
    tests/cli_options.py BUILD_FOLDER"""
import collections
import re
import subprocess
import sys

build = sys.argv[1]
variant = build + "/variant"
failures = []
checks = 0


def check(holds, message):
    global checks
    checks += 1
    if not holds:
        failures.append(message)


def run(*words):
    done = subprocess.run([variant, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


Row = collections.namedtuple("Row", "command names letter argument own held unset does")


def rows():
    for line in run("help", "--format", "table")[1].splitlines():
        command, option, own, held, unset, does = line.split("\t")
        letter = re.match(r"(-\w), ", option)
        names = re.findall(r"--[a-z0-9-]+", option)
        argument = re.sub(r"^(-\w, )?(--[a-z0-9-]+(, )?)+", "", option).strip()
        yield Row(command, names, letter and letter.group(1), argument, own, held, unset, does)


def flat(text):
    """Text as one line: broken into lines at other places it is the same."""
    return re.sub(r"\s+", " ", text)


table = list(rows())
commands = list(dict.fromkeys(row.command for row in table))
check(len(commands) >= 18 and len(table) > 300, f"{len(commands)} commands with {len(table)} options")

# ---- the same everywhere: help, manual page, completion

with open(build + "/manuals/variant.bash") as file:
    completion = file.read()
with open(build + "/manuals/variant.zsh") as file:
    zsh = dict(re.findall(r"^_variant_specs\+=\('([^']*)' '(.*?)'\)$", file.read(), re.MULTILINE | re.DOTALL))
with open(build + "/manuals/variant.fish") as file:
    fish = collections.defaultdict(list)
    for at, options in re.findall(r"^complete -c variant -n '__variant_at ([^']*)' (.*)$", file.read(), re.MULTILINE):
        fish[at] += ["--" + name for name in re.findall(r"-l (\S+)", options.split(" -d '")[0])]
        fish[at] += ["-" + name for name in re.findall(r"-s (\S+)", options.split(" -d '")[0])]
for command in commands:
    own = [row for row in table if row.command == command]
    help_text = run(*command.split(), "--help")[1]
    wide = [line for line in help_text.split("examples")[0].splitlines() if len(line) > 100]
    check(not wide or wide[0].startswith(("usage", "      ")), f"{command} --help: a line too wide: {wide}")
    help_text = flat(help_text)
    with open(f"{build}/manuals/man1/variant-{command.replace(' ', '-')}.1") as file:
        page = flat(file.read().replace("\\-", "-").replace("\\e", "\\").replace("\n.B ", "\n"))
    offered = re.search(rf"_variant_options\['{command}'\]='([^']*)'", completion).group(1).split()
    for row in own:
        shown = flat(row.does)
        if row.held and not row.unset:
            shown += f" (default {row.held})"
        option = (row.letter + ", " if row.letter else "") + ", ".join(row.names)
        check(f" {option}" in help_text and shown in help_text, f"{command} --help: {option}: {shown}")
        check(f" {option}" in page and shown in page, f"the page of {command}: {option}: {shown}")
        words = row.names + ([row.letter] if row.letter else [])
        check(all(word in offered for word in words), f"completion of {command}: {words}")
    check(len(offered) == len(set(offered)), f"completion of {command} offers a word twice")
    names = [name for row in own for name in row.names + [row.letter] if name]
    check(len(names) == len(set(names)), f"{command} has one name for two options")
    check(sorted(names) == sorted(offered), f"completion of {command} offers what it does not take")
    in_zsh = [re.match(r"(?:\([^)]*\)|\*)?(--?[a-z0-9-]+?)(?:=-?|\+)?\[", line) for line in zsh[command].splitlines()]
    check(None not in in_zsh and sorted(names) == sorted(line.group(1) for line in in_zsh), f"zsh's completion of {command}")
    check(sorted(names) == sorted(fish[command]), f"fish's completion of {command}: {set(names) ^ set(fish[command])}")

# ---- defaults are said by the settings alone

for row in table:
    check("default" not in row.does.lower(), f"{row.command} {row.names[0]}: a default written by hand: {row.does}")
    if row.unset:
        check(row.held in ("", "0", "-1") or row.unset.endswith(row.held), f"{row.command} {row.names[0]}: it says what holds while nothing is given, and {row.held} is")

# ---- one name, one meaning, unless the table says so

meanings = collections.defaultdict(dict)
for row in table:
    for name in row.names:
        meanings[name].setdefault((row.letter, row.argument, row.does), []).append(row)
for name, of_name in meanings.items():
    plain = [same for same in of_name.values() if not all(row.own for row in same)]
    check(len(plain) <= 1, f"{name} means different things, and not each is marked so: {[same[0].command for same in plain]}")

# ---- words are taken alike


def complaint(command, *words):
    status, _, err = run(*command.split(), *words)
    check(status == 2 and err.count("\n") == 1, f"{command} {' '.join(words)}: {status}, {err}")
    return err


for row in table:
    command, name = row.command, row.names[0]
    if name == "--help":
        continue
    if not row.argument:
        check(f"{name} takes no value" in complaint(command, name + "=yes"), f"{command} {name}=yes")
        continue
    if row.argument.startswith("[="):
        continue
    check("needs a value" in complaint(command, name), f"{command} {name} without a value")
    check(f"{name} needs a value, but --help follows" in complaint(command, name, "--help"), f"{command} {name} --help")
    empty = complaint(command, name + "=")
    check("expected " in empty, f"{command} {name}=: {empty}")
    check(complaint(command, name, "") == empty, f"{command} {name} and {name}= differ")
    if row.letter:
        check(complaint(command, row.letter, "") == empty, f"{command} {row.letter} and {name} differ")
    # What it holds can be typed, and the last of several counts.
    if row.held and not row.unset:
        # refused for what stands behind it: the command itself is not to run
        taken = complaint(command, f"{name}={row.held}", "--no-such-option")
        check("--no-such-option" in taken, f"{command} {name}={row.held} is refused")
        check(complaint(command, f"{name}={row.held}", name + "=") == empty, f"{command} {name}: the second is not read")

print("\n".join("FAILED: " + line for line in failures))
print(f"{checks - len(failures)} passed, {len(failures)} failed")
sys.exit(bool(failures))
