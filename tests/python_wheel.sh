#!/usr/bin/env bash
# The wheel, as somebody gets it: made, installed into a fresh environment of each Python there is with no compiler on the path,
# and a picture drawn with it, which is the program's. Also at the least instruction set.
#   tests/python_wheel.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
root=$(pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
begin=$SECONDS
if ! wheel=$(tools/wheel.sh "$folder/wheel"); then
    # what it was that failed: the network, or the build?
    grep -qiE "could not find a version|connection|temporary failure|ensurepip" "$folder/wheel/wheel.log" || exit 1
    echo "SKIP the wheel: $(tail -1 "$folder/wheel/wheel.log")"
    exit 0
fi
echo "$(basename "$wheel"), $(stat -c %s "$wheel") bytes, made in $((SECONDS - begin)) s"

"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png" >/dev/null
cat >"$folder/draw.py" <<'P'
import sys
import variant
picture = variant.Engine(sys.argv[1]).generate("Sneaker", seed=3, depth=6)[0]
picture.save(sys.argv[2])
P
passed=0
# what it brings of others, and under which terms
python3 - "$wheel" <<'P' || exit 1
import sys, zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
told = next((n for n in names if n.endswith(".dist-info/LIBRARIES.txt")), None)
lines = zipfile.ZipFile(sys.argv[1]).read(told).decode().splitlines()[4:] if told else []
libraries = {n.split("/")[1] for n in names if n.startswith("variant_engine.libs/")}
missing = libraries - {line.split()[0] for line in lines} or [line for line in lines if f"{told[:-13]}licenses/{line.split()[1]}.txt" not in names]
if missing or not libraries:
    sys.exit(f"FAIL: libraries in the wheel that are not told with a licence: {sorted(missing) or 'there are none'}")
if any(n.startswith(("libtiff", "libjbig")) for n in libraries):
    sys.exit(f"FAIL: libtiff brings libjbig, whose licence is the GPL: {sorted(libraries)}")
print(f"{len(libraries)} libraries inside, of {len({line.split()[1] for line in lines})} packages")
P
passed=$((passed + 1))
tried=" "
# Every Python that the path, the system or pyenv has; PYTHONS names others.
for python in ${PYTHONS-} python3 python3.1{0,1,2,3,4,5} /usr/bin/python3.1? /usr/local/bin/python3.1? "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [ "${version#3.}" -ge 10 ] && [[ $tried != *" $version "* ]] && "$python" -c 'import ensurepip' 2>/dev/null || continue
    tried+="$version "
    begin=$SECONDS
    "$python" -m venv "$folder/v$version"
    if ! "$folder/v$version/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$wheel" >"$folder/pip.log" 2>&1; then
        echo "SKIP Python $version: $(tail -1 "$folder/pip.log")"
        continue
    fi
    for cpu in "" baseline; do
        (cd "$folder" && env -i PATH=/nowhere ${cpu:+VARIANT_CPU=$cpu} "v$version/bin/python" draw.py "$root/models/fashion" got.png)
        [ -n "$cpu" ] || cmp "$folder/want.png" "$folder/got.png"
        passed=$((passed + 1))
    done
    tests/hardened.sh "$build" "$folder/v$version"/lib/python3.*/site-packages/variant/_variant.abi3.so >"$folder/hardened" || { cat "$folder/hardened"; exit 1; }
    passed=$((passed + 1))
    echo "Python $version: installed and drawn in $((SECONDS - begin)) s"
done
echo "$passed passed, 0 failed"
[ $passed -gt 1 ]
