#!/usr/bin/env bash
# The library's names: what libvariant.so and libvariant.a show is what cmake/libvariant.symbols lists, and that is what
# include/variant.h declares; none has a name that is not variant_'s. A function that is added is listed there; one that is taken away
# breaks programs, and with it the .so's version.
#   tests/exported.sh BUILD_FOLDER
set -uo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0
same() {
    if diff "$folder/listed" "$2" >"$folder/difference"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: $1 is not what cmake/libvariant.symbols lists (<):"
        sed 's/^/    /' "$folder/difference"
    fi
}

LC_ALL=C sort -u cmake/libvariant.symbols >"$folder/listed"
if ! cmp -s "$folder/listed" cmake/libvariant.symbols; then
    failed=$((failed + 1))
    echo "FAIL: cmake/libvariant.symbols is not sorted, or has a name twice"
fi
if grep -qv '^variant_[a-z0-9_]*$' "$folder/listed"; then
    failed=$((failed + 1))
    echo "FAIL: names that are not the library's: $(grep -v '^variant_' "$folder/listed" | tr '\n' ' ')"
fi

# the version that the names carry is a name itself
nm -D --defined-only "$build/libvariant.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | LC_ALL=C sort >"$folder/shared"
same libvariant.so "$folder/shared"
# the sanitizers and profilers add names of their own
nm -g --defined-only "$build/libvariant.a" | awk 'NF == 3 { print $3 }' | grep -v '^__' | LC_ALL=C sort >"$folder/archive"
same libvariant.a "$folder/archive"

# functions declared, comments and the functions that are compiled into callers left out
"${CC:-cc}" -E -P -Iinclude -x c include/variant.h | sed 's/static inline .*{/\n&/' | tr '\n' ' ' | sed 's/static inline [^}]*}//g' |
    grep -oE '\bvariant_[a-z0-9_]+\(' | tr -d '(' | LC_ALL=C sort -u >"$folder/declared"
same include/variant.h "$folder/declared"

name=$(readelf -d "$build/libvariant.so" | sed -nE 's/.*SONAME.*\[(.*)\]/\1/p')
if [ "$name" = libvariant.so.0 ]; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL: libvariant.so calls itself \"$name\""
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
