#!/usr/bin/env bash
# The Debian packages, as somebody gets them: made, checked by lintian, the same bytes when made again elsewhere; installed on a fresh Debian
# by apt, where the program, a C program and Python draw the picture that the build draws; and removed again without a trace.
#   tests/packages.sh BUILD_FOLDER [MADE]      MADE: a folder that keeps the two builds, for a test in parts: what is finished there is taken
# Needs root, debootstrap and the package manager's network; else it is skipped.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
sources=$(pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
made=${2:-$folder}
. tests/fresh_root.sh
fresh_root_needs
export DEBFULLNAME="Test Packager" DEBEMAIL=packager@debian.org
export SOURCE_DATE_EPOCH=1764000000
export CCACHE_DISABLE=1 # which would hand the second build the first one's files

# two copies of the sources, at two places whose paths differ in length
for copy in a a-longer-name; do
    [ ! -s "$made/$copy.txt" ] || continue
    mkdir -p "$made/$copy"
    git -C "$sources" ls-files -z | (cd "$sources" && xargs -0 cp --parents -t "$made/$copy" 2>/dev/null) || true
    begin=$SECONDS
    (cd "$made/$copy" && tools/packages.sh | sed "s,^,$made/$copy/,") >"$folder/list"
    mv "$folder/list" "$made/$copy.txt"
    echo "made in $((SECONDS - begin)) s"
done
while read -r package; do
    ok "$(basename "$package"): the same bytes from both" cmp "$package" "$made/a-longer-name/build/package/packages/$(basename "$package")"
    ok "$(basename "$package"): the licence of what is compiled in" grep -q "Yann Collet" <(dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards './usr/share/doc/*/copyright')
done <"$made/a.txt"
ok "four packages" [ "$(wc -l <"$made/a.txt")" -eq 4 ]
if command -v lintian >/dev/null; then
    # shellcheck disable=SC2046
    said=$(lintian --fail-on error,warning $(cat "$made/a.txt") 2>&1 | grep -v "root privileges") || true
    ok "lintian: $said" [ -z "$said" ]
else
    echo "SKIP lintian is not installed"
fi

fresh=$folder/root
fresh_root "$fresh"
cp -r models "$fresh/models"
mkdir "$fresh/packages"
xargs cp -t "$fresh/packages" <"$made/a.txt"
package() { echo "/packages/$(cd "$fresh/packages" && ls "$1"_*.deb)"; }
apt_inside "$fresh" update

"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png" >/dev/null
begin=$SECONDS
apt_inside "$fresh" install -y --no-install-recommends "$(package variant)"
echo "the program installed in $((SECONDS - begin)) s"
begin=$SECONDS
inside "$fresh" variant generate -m /models/fashion --class Sneaker -s 3 --depth 6 -o /got.png >/dev/null
echo "drawn in $((SECONDS - begin)) s"
ok "the program's picture" cmp "$folder/want.png" "$fresh/got.png"
for completion in bash-completion/completions/variant zsh/vendor-completions/_variant fish/vendor_completions.d/variant.fish; do
    ok "$completion" [ -s "$fresh/usr/share/$completion" ]
done

apt_inside "$fresh" install -y --no-install-recommends "$(package python3-variant)"
inside "$fresh" python3 -c 'import variant; variant.Engine("/models/fashion").generate("Sneaker", seed=3, depth=6)[0].save("/python.png")'
ok "Python's picture" cmp "$folder/want.png" "$fresh/python.png"

apt_inside "$fresh" install -y --no-install-recommends "$(package libvariant0)" "$(package libvariant-dev)" gcc libc6-dev pkg-config
ok "hardened" tests/hardened.sh "$build" "$fresh/usr/bin/variant" "$fresh"/usr/lib/*/libvariant.so.0 "$fresh"/usr/lib/python3/dist-packages/variant/_variant.abi3.so
sed -n '/#include <stdio.h>/,/^ \*     }$/p' include/variant.h | sed -E 's/^ \*( {5})?//' >"$fresh/program.c"
loads_shared() { inside "$fresh" ldd /program | grep -q libvariant.so.0; }
loads_none() { ! loads_shared; }
for way in shared none; do
    if [ $way = shared ]; then
        inside "$fresh" sh -c 'gcc -Wall -Werror program.c -o program $(pkg-config --cflags --libs variant)'
    else # the archive, everything else shared
        inside "$fresh" sh -c 'gcc -Wall -Werror program.c -o program $(pkg-config --cflags variant) -l:libvariant.a $(pkg-config --libs --static variant | sed "s/-lvariant//")'
    fi
    ok "the C program loads libvariant: $way" loads_$way
    inside "$fresh" /program
    ok "the C program's picture" [ "$(head -c 4 "$fresh/sneaker.png" | tail -c 3)" = PNG ]
    rm "$fresh/sneaker.png"
done

apt_inside "$fresh" purge -y variant libvariant0 libvariant-dev python3-variant
left=$(find "$fresh/usr" "$fresh/etc" -iname '*variant*' ! -path '*/perl*' ! -path '*/python3.*/*' | head -5)
ok "nothing is left: $left" [ -z "$left" ]
echo "$passed passed, 0 failed"
