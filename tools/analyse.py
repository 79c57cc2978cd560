#!/usr/bin/env python3
"""gcc's path-sensitive analyser (-fanalyzer, gcc 12) and cppcheck over src/ and cli/. What they say falsely is listed in
tools/analyse.txt, each with its reason; anything else fails, and so does an entry that nothing is said of any more.
    tools/analyse.py BUILD_FOLDER [FILE...]      BUILD_FOLDER: a configured build (cmake --preset ci); files: only these
gcc is asked about the folders that read what others made (FOLDERS) and about files that are named, cppcheck about all but the inner loops (kern/cpu/isa),
which are unrolled and have no pointers to follow. Test: analysed (slow)."""
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIST = os.path.join(ROOT, "tools/analyse.txt")
FOLDERS = ("src/core/", "src/io/", "src/convert/", "src/engine/", "src/serve/", "cli/")
SECONDS = 900  # a file
TOOLS = (("gcc", "-dumpfullversion", "12."), ("cppcheck", "--version", "2.10"))  # of Debian 12
# Found by both, or they are not looking.
FAULT = "#include <stdlib.h>\nint twice(int n);\nint twice(int n) {\n    char *p = malloc(9);\n    if (!p) return n;\n    free(p);\n    free(p);\n    return n;\n}\n"


def commands(build):
    """Each file's own command, once; the generated and the inner loops left out."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        name = os.path.relpath(entry["file"], ROOT)
        if name.startswith(("src/", "cli/")) and "kern/cpu/isa/" not in name:
            found.setdefault(name, (entry["directory"], shlex.split(entry["command"])))
    return found


def gcc_command(words):
    """The same, analysed: nothing is written, and what failing functions return is told (core/status.h)."""
    kept = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-MT", "-MF"):
            skip = True
        elif word not in ("-MD", "-Werror") and os.path.basename(word) not in ("ccache", "cc", "gcc", "gcc-12", "clang"):
            kept.append(word)
    return ["gcc", *kept, "-fanalyzer", "-DVT_ANALYSER", "-Wno-unused-value", "-o", os.devnull]


def ask_gcc(name, directory, words):
    try:
        done = subprocess.run(gcc_command(words), cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False,
                              env=dict(os.environ, LC_ALL="C"))
    except subprocess.TimeoutExpired:
        return [("gcc", name, "time", f"{name}: not done after {SECONDS} s")]
    found = [("gcc", os.path.relpath(os.path.join(directory, path), ROOT) if not os.path.isabs(path) else os.path.relpath(path, ROOT), kind, line)
             for line in done.stderr.splitlines()
             for path, kind in re.findall(r"^([^\s:]+):\d+:\d+: warning: .*\[-Wanalyzer-([a-z-]+)\]$", line)]
    if done.returncode != 0:
        found.append(("gcc", name, "failed", done.stderr[-1000:]))
    return found


def ask_cppcheck(paths, folder):
    words = ["cppcheck", "--enable=warning,performance,portability", "--inline-suppr", "--std=c11", "--quiet", "-j", str(os.cpu_count()),
             "--library=posix,gnu,zlib", "--library=" + os.path.join(ROOT, "tools/cppcheck.cfg"), "-D_GNU_SOURCE", "-DVARIANT_TIFF", "-DVARIANT_SANDBOX",
             "-D__x86_64__", "-D__GNUC__=12", "-Iinclude", "-Isrc", "--template={file}:{line}:{id}: {message}", *paths]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [("cppcheck", os.path.relpath(os.path.join(ROOT, path), ROOT), kind, line)
             for line in done.stderr.splitlines() for path, kind in re.findall(r"^([^\s:]+):\d+:([A-Za-z0-9]+): ", line)]
    if done.returncode != 0 or done.stdout.strip():
        found.append(("cppcheck", folder, "failed", done.stdout + done.stderr[-1000:]))
    return found


def exceptions():
    """(tool, file, kind) of each line "tool file kind: reason"; file "*": any."""
    listed = {}
    with open(LIST, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                fields = re.match(r"(gcc|cppcheck) (\S+) (\S+): \S.{10,}$", line)
                if not fields:
                    sys.exit(f"{LIST}:{number}: expected \"TOOL FILE KIND: reason\"")
                listed[fields.groups()] = number
    return listed


def check_tools(folder):
    """A pointer freed twice is seen."""
    path = os.path.join(folder, "fault.c")
    with open(path, "w", encoding="utf-8") as file:
        file.write(FAULT)
    kinds = {found[0]: found[2] for found in ask_gcc(path, folder, ["cc", "-O1", "-c", path]) + ask_cppcheck([path], folder)}
    if kinds != {"gcc": "double-free", "cppcheck": "doubleFree"}:
        sys.exit(f"analyse: a pointer that is freed twice is not found as it should be: {kinds}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for tool, words, version in TOOLS:  # another version says other things
        told = subprocess.run([tool, words], capture_output=True, text=True, check=False).stdout if shutil.which(tool) else "none"
        if version not in told:
            print(f"SKIP analysed: wants {tool} {version}, there is {told.strip()}\n0 passed, 0 failed")
            return 0
    chosen = {name: command for name, command in commands(sys.argv[1]).items()
              if len(sys.argv) == 2 or name in [os.path.relpath(path, ROOT) for path in sys.argv[2:]]}
    if not chosen:
        sys.exit("analyse: no such file in the build")
    asked = [item for item in sorted(chosen.items()) if len(sys.argv) > 2 or item[0].startswith(FOLDERS)]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        check_tools(folder)
        found = [one for many in pool.map(lambda item: ask_gcc(item[0], *item[1]), asked) for one in many]
        found += ask_cppcheck(sorted(chosen), folder)
    listed = exceptions()
    told = {one[:3] for one in found}
    told |= {(one[0], "*", one[2]) for one in found}
    new = [one for one in dict.fromkeys(found) if one[:3] not in listed and (one[0], "*", one[2]) not in listed]
    stale = [key for key in listed if key not in told and (len(sys.argv) == 2 or key[1] in chosen)]
    for one in new:
        print(f"FAIL: {one[0]}: {one[3]}")
    for key in stale:
        print(f"FAIL: {LIST}:{listed[key]}: nothing is said of \"{' '.join(key)}\" any more")
    print(f"{len(chosen)} files, {len({one[:3] for one in found}) - len({one[:3] for one in new})} findings known to be false\n{len(chosen) + len(listed) - len(new) - len(stale)} passed, {len(new) + len(stale)} failed")
    return 1 if new or stale else 0


if __name__ == "__main__":
    sys.exit(main())
