#!/usr/bin/env bash
# Formats the C files by .clang-format, with clang-format 14 (Debian 12's; another version breaks lines elsewhere), and looks
# at blanks at the ends of lines in the others (.editorconfig).
#   tools/format.sh            changes the files
#   tools/format.sh --check    changes nothing and fails if it would: test `formatted`
set -euo pipefail
cd "$(dirname "$0")/.."

version=14
check=0
case ${1:-} in
    "") ;;
    --check) check=1 ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

program=
for candidate in clang-format-$version clang-format; do
    [[ $($candidate --version 2>/dev/null) == *"version $version."* ]] && program=$candidate && break
done
if [ -z "$program" ]; then
    [ $check -eq 1 ] && { echo "SKIP formatted: no clang-format $version (apt install clang-format-$version)"; exit 0; }
    echo "$0: no clang-format $version (apt install clang-format-$version)" >&2
    exit 1
fi

mapfile -t sources < <(find include src cli tests -name '*.[ch]' | sort)
mapfile -t texts < <(find cli cmake include src tests tools bench -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \
    -o -name '*.awk' -o -name '*.cmake' -o -name '*.in' -o -name CMakeLists.txt \) | sort
    printf '%s\n' CMakeLists.txt CMakePresets.json test.sh demo.sh .ci/run .clang-format .clang-tidy .editorconfig)

if [ $check -eq 0 ]; then
    printf '%s\0' "${sources[@]}" | xargs -0 -n 20 -P "$(nproc)" $program -i
    sed -i 's/[ \t]*$//' "${texts[@]}"
    sed -i '$a\' "${texts[@]}" # a last line that ends
    exit 0
fi

failed=0
for file in $($program --dry-run "${sources[@]}" 2>&1 | sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: warning: .*/\1/p' | sort -u); do
    $program "$file" | diff -u --label "$file" --label "$file, formatted" "$file" - | head -20 || true
    failed=$((failed + 1))
done
for file in $(grep -lE '[[:blank:]]+$' "${texts[@]}" || true); do
    grep -nHE -m 3 '[[:blank:]]+$' "$file"
    failed=$((failed + 1))
done
for file in "${texts[@]}"; do
    [ -n "$(tail -c1 "$file")" ] || continue
    echo "$file: its last line has no end"
    failed=$((failed + 1))
done
[ $failed -eq 0 ] || echo "tools/format.sh mends this"
echo "$((${#sources[@]} + ${#texts[@]} - failed)) passed, $failed failed"
[ $failed -eq 0 ]
