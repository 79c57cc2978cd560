#!/usr/bin/env bash
# A program of an older header (tests/abi/) with the library of today: it gets what it asks for, and the pictures are the command's.
#   tests/abi.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
build=$(dirname "$variant")
: >err.txt

# each struct is shorter there, or the program tests nothing
cat >sizes.c <<'C'
#include <stdio.h>
#include <variant.h>
#define X(name) printf("%s %zu\n", #name, sizeof(name));
int main(void) {
    X(variant_engine_options) X(variant_edit) X(variant_request) X(variant_report) X(variant_memory)
    X(variant_plan_options) X(variant_plan) X(variant_seconds) X(variant_animation)
    X(variant_picture) X(variant_error)
}
C
for header in "$root/include" "$root/tests/abi"; do
    ${CC:-cc} -I"$header" sizes.c -o sizes 2>err.txt && ./sizes >"$(basename "$header").txt" || bad "sizes of $header"
done
while read -r name older today; do
    case $name in
        variant_picture | variant_error) [ "$older" -eq "$today" ] && ok || bad "$name has $today bytes and had $older: it must never change" ;;
        *) [ "$older" -lt "$today" ] && ok || bad "$name has $today bytes in today's header and $older in the older one" ;;
    esac
done < <(join abi.txt include.txt)
[ $passed -eq 11 ] || bad "$passed of 11 structs"

"$variant" synth "$root/tests/examples.json" -o model.safetensors >/dev/null 2>err.txt || bad synth
for kind in static shared; do
    program=$build/tests/abi_older_$kind
    [ -e "$program" ] || { echo "SKIP abi $kind: not built"; continue; }
    if "$program" model.safetensors older.png >out.txt 2>err.txt; then ok; else cp out.txt err.txt; bad "$program: $?"; fi
    run generate -m model.safetensors --from older.png -o again.png
    cmp -s older.png again.png && ok || bad "the older program's picture is not the command's"
done

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
