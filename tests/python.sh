#!/usr/bin/env bash
# The Python package as it was built: its tests, the examples of its docstrings and its document (pytest), the notebook, its types (mypy, strict).
#   tests/python.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
if [ ! -e "$build/python/variant/_variant.abi3.so" ]; then
    echo "SKIP no Python with cffi and numpy when this was built (python3-cffi, python3-numpy)"
    exit 0
fi
python=$(sed -n 's/^VARIANT_PYTHON_PROGRAM:[A-Z]*=//p' "$build/CMakeCache.txt")
export PYTHONPATH=$build/python PYTHONDONTWRITEBYTECODE=1 VARIANT=$build/variant
have() { "$python" -c "import $1" 2>/dev/null || { echo "SKIP $python has no $1"; return 1; }; }

if have pytest; then
    "$python" -m pytest -q -p no:cacheprovider -rs python/tests | sed 's/^SKIPPED/SKIP/'
    "$python" -m pytest -q -p no:cacheprovider --doctest-modules --import-mode=importlib "$build/python/variant" --rootdir .
    "$python" -m pytest -q -p no:cacheprovider --doctest-glob=PYTHON.md docs/PYTHON.md
    "$python" tools/run_notebook.py examples/depth.ipynb
fi
if have mypy; then # --enable-...: mypy before 1.6
    types() { "$python" -m mypy --strict --enable-incomplete-feature=Unpack --cache-dir "$(mktemp -d)" "$@" 2> >(grep -v "already enabled" >&2); }
    types -p variant
    (cd python/tests && types .)
fi
