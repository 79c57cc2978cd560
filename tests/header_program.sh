#!/usr/bin/env bash
# The program at the top of include/variant.h: installs the library into a temporary folder, takes the program out of the
# comment, compiles it with what pkg-config says, and runs it from the root of the tree.
#   tests/header_program.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

cmake --install "$build" --prefix "$root/usr" >/dev/null
sed -n '/#include <stdio.h>/,/^ \*     }$/p' include/variant.h | sed -E 's/^ \*( {5})?//' >"$root/program.c"
grep -q 'int main' "$root/program.c"
export PKG_CONFIG_PATH=$(dirname "$(find "$root/usr" -name variant.pc)")
flags=$(sed -n 's/^VARIANT_SANITIZE:STRING=\(..*\)$/-fsanitize=\1/p' "$build/CMakeCache.txt")
compiler=$(sed -nE 's/^CMAKE_C_COMPILER:[A-Z]+=(.*)$/\1/p' "$build/CMakeCache.txt") # its OpenMP is the archive's
# shellcheck disable=SC2046
"$compiler" -std=c17 -Wall -Wextra -Werror $flags "$root/program.c" -o "$root/program" \
    $(pkg-config --cflags --libs variant)
models=$(pwd)/models
(cd "$root" && ln -s "$models" models && LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") ./program)
[ "$(head -c 8 "$root/sneaker.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
echo "1 passed, 0 failed"
