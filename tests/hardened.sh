#!/usr/bin/env bash
# What a program has that reads strangers' files is in the machine code: buffers whose sizes are checked (_FORTIFY_SOURCE), canaries on the
# stack, marked targets of jumps (CET), addresses chosen at random (PIE), and neither a stack that runs nor a table of addresses that
# can be written once linked (full RELRO). Read from the ELF; without a file of its own those of the build.
#   tests/hardened.sh BUILD_FOLDER [FILE...]      tests/packages.sh asks about installed files, tests/archive.sh about unpacked ones
set -uo pipefail
build=$(cd "$1" && pwd)
shift
if [ $# -eq 0 ]; then
    if ! grep -q '^VARIANT_HARDEN:BOOL=ON' "$build/CMakeCache.txt" || grep -qE '^VARIANT_SANITIZE:STRING=.|^CMAKE_BUILD_TYPE:STRING=Debug' "$build/CMakeCache.txt"; then
        echo "SKIP hardened: a build with sanitizers, without optimisation or with VARIANT_HARDEN off"
        echo "0 passed, 0 failed"
        exit 0
    fi
    set -- "$build/variant"
    [ -e "$build/libvariant.so.0" ] && set -- "$@" "$build/libvariant.so.0"
    for module in "$build"/python/variant/_variant.abi3.so; do [ -e "$module" ] && set -- "$@" "$module"; done
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0

# marks FILE: places that a jump may go to. The property that tells a loader of them is no witness: Debian's own startup files, which are
# part of every program, have none, so the linker leaves it away. Those of the system in a program are two or three, every function of its own that
# others see is one.
marks() { objdump -d --no-show-raw-insn "$1" | grep -c '\bendbr64\b' || true; }
compiler=$(sed -nE 's/^CMAKE_C_COMPILER:[A-Z]+=(.*)$/\1/p' "$build/CMakeCache.txt")
echo 'int main(void) { return 0; }' >"$folder/least.c"
"${compiler:-cc}" -O2 $([ "$(uname -m)" != x86_64 ] || echo -fcf-protection=none) "$folder/least.c" -o "$folder/least" || exit 1
marks_of_system=$(marks "$folder/least")

# lacks FILE: what it has not, a word each, on one line
lacks() {
    local header segments dynamic symbols
    header=$(readelf -hW "$1") && segments=$(readelf -lW "$1") && dynamic=$(readelf -dW "$1") && symbols=$(readelf -W --dyn-syms "$1") || { echo elf; return; }
    {
        grep -qE '^ *Type: *DYN' <<<"$header" || echo pie
        [[ $1 == *.so* ]] || grep -qE 'FLAGS_1.*PIE' <<<"$dynamic" || echo pie
        grep -q GNU_RELRO <<<"$segments" || echo relro
        grep -qE '\(FLAGS(_1)?\).*(NOW|BIND_NOW)' <<<"$dynamic" || echo bind-now
        grep -qE 'GNU_STACK.* RW ' <<<"$segments" || echo stack-not-executable
        ! grep -q TEXTREL <<<"$dynamic" || echo code-without-relocations
        grep -q 'UND __stack_chk_fail' <<<"$symbols" || echo stack-protector
        grep -qE 'UND __[a-z0-9]+_chk\b' <<<"$symbols" || echo fortify
        [ "$(uname -m)" != x86_64 ] || [ "$(marks "$1")" -gt $((marks_of_system + 10)) ] || echo cet
    } | sort -u | xargs
}
# same WHAT GOT WANTED
same() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: $1: lacks \"$2\", expected \"$3\""
    fi
}

for file in "$@"; do
    same "$file" "$(lacks "$file")" ""
done

# And each is noticed where it is missing.
cat >"$folder/copy.c" <<'C'
#include <stdio.h>
#include <string.h>
#define SEEN(n) int seen_##n(void); int seen_##n(void) { return n; }
SEEN(0) SEEN(1) SEEN(2) SEEN(3) SEEN(4) SEEN(5) SEEN(6) SEEN(7) SEEN(8) SEEN(9) SEEN(10) SEEN(11) SEEN(12)
int main(int argc, char **argv) {
    char name[64];
    (void)argc;
    sprintf(name, "%s", argv[0]);
    puts(name);
    return (int)strlen(name);
}
C
all="-O2 -fPIE -pie -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong $([ "$(uname -m)" != x86_64 ] || echo -fcf-protection) -Wl,-z,relro,-z,now,-z,noexecstack"
without() { # WORD FLAGS...: a program built with all, then FLAGS
    local word=$1
    shift
    # shellcheck disable=SC2086
    "${compiler:-cc}" -w $all "$@" "$folder/copy.c" -o "$folder/copy" || exit 1
    same "a program without ${word:-nothing}" "$(lacks "$folder/copy")" "$word"
}
without ""
without bind-now -Wl,-z,lazy
without "bind-now relro" -Wl,-z,norelro,-z,lazy
without pie -fno-pie -no-pie
without fortify -U_FORTIFY_SOURCE
without stack-protector -fno-stack-protector
without stack-not-executable -Wl,-z,execstack
[ "$(uname -m)" != x86_64 ] || without cet -fcf-protection=none
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
