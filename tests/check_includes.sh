#!/usr/bin/env bash
# Fails when a file includes a folder that lies above it, or one that it does not need. The arrows, lowest first:
#   core <- io, kern, supernet;  io, kern <- nn <- tokenizer, transformer <- engine <- train <- selftest <- measure
#   io, kern, nn <- features <- train, eval, convert; engine <- planning <- eval, measure; engine <- convert.
#   serve computes through include/variant.h alone: core, io <- serve. So do the commands, which include nothing else but serve: cli.
#   io <- dist <- train. supernet <- transformer, engine, train. tokenizer and transformer never include each other.
# Also: intrinsics only in kern/cpu, JSON parsed only by io/json.c, which bounds it, messages of the library without options of the
# program, every header compiles alone, the public ones as C++ too, and variant.h has all of those.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
    [core]="core"
    [io]="core io"
    [dist]="core io dist"
    [kern]="core kern"
    [supernet]="core supernet"
    [nn]="core io kern nn"
    [tokenizer]="core io kern nn tokenizer"
    [transformer]="core io kern nn supernet transformer"
    [engine]="core io kern nn supernet tokenizer transformer engine"
    [planning]="core io kern nn supernet tokenizer transformer engine planning"
    [features]="core io kern nn features"
    [convert]="core io features engine convert"
    [eval]="core io kern nn features supernet tokenizer transformer engine planning eval"
    [train]="core io dist kern nn features supernet tokenizer transformer engine train"
    [selftest]="core io kern nn supernet tokenizer transformer engine features train selftest"
    [measure]="core io kern engine planning train selftest measure"
    [serve]="core io serve"
    [cli]="serve"
)
failed=0 checked=0
while IFS=: read -r file _ line; do
    from=${file#src/}
    from=${from%%/*}
    to=$(sed -E 's/^#include "([^"/]+)\/.*/\1/' <<<"$line")
    checked=$((checked + 1))
    if [ -z "${may[$from]:-}" ]; then
        echo "$file: folder $from has no rule in tests/check_includes.sh"
        failed=$((failed + 1))
    elif [[ " ${may[$from]} " != *" $to "* ]]; then
        echo "$file: $from must not include $to: $line"
        failed=$((failed + 1))
    fi
done < <(grep -rnE '^#include "[a-z]+/' src cli --include='*.c' --include='*.h')

# cli/ is included by none but itself: its headers have no folder in their names.
while IFS=: read -r file _ line; do
    name=$(sed -E 's/^#include "([^"]+)".*/\1/' <<<"$line")
    if [ -e "cli/$name" ]; then
        echo "$file: src must not include cli: $line"
        failed=$((failed + 1))
    fi
done < <(grep -rnE '^#include "[^/"]+"' src include --include='*.c' --include='*.h' || true)

while read -r file; do
    echo "$file: intrinsics belong in src/kern/cpu"
    failed=$((failed + 1))
done < <(grep -rlE '#include <(x86intrin|immintrin|arm_neon)\.h>' src cli | grep -v '^src/kern/cpu/' || true)

while read -r file; do
    echo "$file: JSON is read by vt_json_read or vt_json_of (io/json.h), whose memory is bounded"
    failed=$((failed + 1))
done < <(grep -rl 'cJSON_Parse' src --include='*.c' --include='*.h' | grep -v '^src/io/json.c$' || true)

# The library's messages name fields, which other programs set as well, and no options (--resume) of this one. But for:
#   src/serve/           the server is a command, nothing of variant.h reaches it; its limits are known by their options
#   src/eval/report.c    a style sheet, whose variables begin with --
#   src/train/defaults.* the note of what a training chose is a command line, to be given again as it stands
while read -r line; do
    echo "$line: a message of the library names an option: say the field's name"
    failed=$((failed + 1))
done < <(grep -rnoE '"([^"\\]|\\.)*"' src --include='*.c' --include='*.h' | grep -E ':"(.*[^a-zA-Z])?--[a-z%]' |
    grep -vE '^src/(serve/|eval/report\.c:|train/defaults\.)' || true)

while read -r header; do
    checked=$((checked + 1))
    if ! ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -Isrc -Icli -fsyntax-only -x c "$header"; then
        echo "$header: does not compile alone"
        failed=$((failed + 1))
    fi
done < <(find include src cli -name '*.h' | sort)

# A program may include any public header by itself, from C++ too; who includes variant.h has them all.
while read -r header; do
    name=${header#include/}
    checked=$((checked + 1))
    if [ "$name" != variant.h ] && ! grep -qxF "#include <$name>" include/variant.h; then
        echo "include/variant.h: does not include <$name>"
        failed=$((failed + 1))
    fi
    if ! command -v "${CXX:-c++}" >/dev/null; then
        echo "SKIP $header as C++: no ${CXX:-c++}"
    elif ! "${CXX:-c++}" -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -x c++ "$header"; then
        echo "$header: does not compile alone as C++"
        failed=$((failed + 1))
    fi
done < <(find include -name '*.h' | sort)

echo "$((checked - failed)) passed, $failed failed"
[ $failed -eq 0 ]
