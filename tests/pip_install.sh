#!/usr/bin/env bash
# `pip install .` as docs/PYTHON.md says it, on a fresh Debian: what tools/install-deps.sh installs is enough, without headers one line says what
# is wanted, and the picture is the program's.
#   tests/pip_install.sh BUILD_FOLDER
# Needs root, debootstrap, the package manager's network and PyPI; else it is skipped.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/fresh_root.sh
fresh_root_needs
fresh=$folder/root
fresh_root "$fresh"
mkdir "$fresh/src"
git ls-files -z | xargs -0 cp --parents -t "$fresh/src" 2>/dev/null || true
apt_inside "$fresh" update
said() { grep -E '^ *tools/install-deps\.sh' docs/PYTHON.md | sed 's/#.*//'; }
venv() { grep -oE 'python3 -m venv .* && \. [^ ]*' docs/PYTHON.md; }
installs() { inside "$fresh" sh -c "cd /src && $(venv) && python3 -m pip install --disable-pip-version-check --no-cache-dir $* ." >"$folder/pip.log" 2>&1; }

# all but the headers
begin=$SECONDS
inside "$fresh" sh -c "cd /src && $(said | sed 's/ python3-dev//')" >"$folder/deps.log" 2>&1 || { cat "$folder/deps.log"; exit 1; }
echo "the packages installed in $((SECONDS - begin)) s"
if installs; then ok "without Python's headers it is refused" false; fi
! grep -qiE "could not find a version|connection|temporary failure" "$folder/pip.log" || skip "pip: $(grep -iE 'could not find a version|connection' "$folder/pip.log" | tail -1)"
ok "in one line: $(grep -E 'Python\.h' "$folder/pip.log")" grep -q 'has no Python.h: the headers' "$folder/pip.log"

inside "$fresh" sh -c "cd /src && $(said)" >"$folder/deps.log" 2>&1 || { cat "$folder/deps.log"; exit 1; }
begin=$SECONDS
installs || { tail -40 "$folder/pip.log"; exit 1; }
echo "installed by pip in $((SECONDS - begin)) s"
"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png" >/dev/null
inside "$fresh" sh -c "cd /src && $(venv | sed 's/.*&& //') && cd / && python3 -c 'import variant; variant.Engine(\"/src/models/fashion\").generate(\"Sneaker\", seed=3, depth=6)[0].save(\"/got.png\")'"
ok "its picture" cmp "$folder/want.png" "$fresh/got.png"
echo "$passed passed, 0 failed"
