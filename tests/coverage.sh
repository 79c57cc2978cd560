#!/usr/bin/env bash
# Which lines of the readers the tests and the fuzz corpus run: builds with gcc's counters (preset coverage), runs the tests that read files, those of the
# program that read folders and fail, and every fuzz target over its corpus, and prints a line a file, most unreached first, with the places that nothing reached.
#   tests/coverage.sh [--inputs FOLDER] [FOLDER...]
# FOLDER: of src/, io where none is named. --inputs: what tests/fuzz/run.sh found besides (its corpus folder), run as well.
# Exit status 1 where a folder has less than $LEAST per cent (90).
set -euo pipefail
cd "$(dirname "$0")/.."
inputs=
[ "${1:-}" = --inputs ] && { inputs=$2; shift 2; }
folders=("${@:-io}")
build=build/coverage
[ -e $build/CMakeCache.txt ] || cmake --preset coverage >/dev/null
readers='test_(safetensors|tensor_writers|torch|torch_pickles|torch_zip|npz|images|picture_formats|png_text|dataset|in_memory|models|bounds'
readers+='|sweep_file|supernet|tokenizer_packed|library_tokens|library_scores|packed|engine|jail|checksums|json|library_files|no_memory)'
programs='cli_(sandbox|checksums|io_faults)|situations_(data|files)' # folders of pictures, processes of the sandbox, failures of the system
targets=$(sed -n 's/^ *variant_fuzz(\([a-z]*\).*/fuzz_\1/p' tests/fuzz/CMakeLists.txt)
tests=$(grep -oE '"?[a-z_]+' <<<"${readers#test_}" | sed 's/^/test_/')
# shellcheck disable=SC2086
cmake --build --preset coverage --target variant io_fail $tests $targets >"$build/coverage.log" 2>&1 || { cat "$build/coverage.log" >&2; exit 1; }
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -R "^($readers|$programs|fuzz_.*)\$" -j "$(nproc)" >"$build/coverage.log" 2>&1 || { cat "$build/coverage.log" >&2; exit 1; }
if [ -n "$inputs" ]; then
    for target in $targets; do
        [ ! -d "$inputs/${target#fuzz_}" ] || "$build/tests/fuzz/$target" "$inputs/${target#fuzz_}" >/dev/null
    done
fi
python3 - "$build" "${LEAST:-90}" "${folders[@]}" <<'PY'
import collections, gzip, json, os, pathlib, subprocess, sys

build, least, folders = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
failed = 0


def lines_of(folder):
    """{file: {line: times}} of all objects of a folder of src/."""
    found = collections.defaultdict(dict)
    for notes in build.glob(f"CMakeFiles/*.dir/src/{folder}/**/*.gcno"):
        out = subprocess.run(["gcov", "--json-format", "--stdout", str(notes)], capture_output=True, check=True).stdout
        for report in out.splitlines():
            for file in json.loads(report)["files"]:
                name = os.path.relpath(os.path.join(build, file["file"]))
                if f"src/{folder}/" not in name:
                    continue
                for line in file["lines"]:
                    found[name][line["line_number"]] = found[name].get(line["line_number"], 0) + line["count"]
    return found


def ranges(numbers):
    """"3-5 9" of [3, 4, 5, 9]: lines that count one behind the other."""
    out = []
    for n in numbers:
        if out and n - out[-1][1] <= 2:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}-{b}" if b > a else str(a) for a, b in out)


for folder in folders:
    files = lines_of(folder)
    total = sum(len(lines) for lines in files.values())
    run = sum(count > 0 for lines in files.values() for count in lines.values())
    for name, lines in sorted(files.items(), key=lambda f: -sum(count == 0 for count in f[1].values())):
        unreached = sorted(n for n, count in lines.items() if count == 0)
        print(f"{name:32} {100 - 100 * len(unreached) / len(lines):5.1f} % of {len(lines):4} lines{': not ' if unreached else ''}{ranges(unreached)}")
    share = 100 * run / total if total else 0.0
    print(f"src/{folder}: {share:.1f} % of {total} lines")
    failed |= share < least
sys.exit(failed)
PY
