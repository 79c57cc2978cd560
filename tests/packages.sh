#!/usr/bin/env bash
# The Debian packages, as somebody gets them: made, checked by lintian, the same bytes when made again elsewhere; installed on a fresh Debian
# by apt, where the program, a C program and Python draw the picture that the build draws; and removed again without a trace.
#   tests/packages.sh BUILD_FOLDER
# Needs root, debootstrap and the package manager's network; else it is skipped.
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
sources=$(pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0
ok() { passed=$((passed + 1)); }
skip() { echo "SKIP packages: $*"; echo "$passed passed, 0 failed"; exit 0; }

[ "$(id -u)" -eq 0 ] || skip "only root makes a fresh root"
command -v debootstrap >/dev/null || skip "no debootstrap"
export DEBFULLNAME="Test Packager" DEBEMAIL=packager@debian.org
export SOURCE_DATE_EPOCH=1764000000

# two copies of the sources, at two places
for copy in a bb; do
    mkdir "$folder/$copy"
    git -C "$sources" ls-files -z | (cd "$sources" && xargs -0 cp --parents -t "$folder/$copy" 2>/dev/null) || true
    begin=$SECONDS
    "$folder/$copy/tools/packages.sh" >"$folder/$copy.txt"
    echo "made in $((SECONDS - begin)) s"
done
while read -r package; do
    cmp "$package" "$folder/bb/build/package/packages/$(basename "$package")"
    ok
done <"$folder/a.txt"
[ "$(wc -l <"$folder/a.txt")" -eq 4 ] && ok
if command -v lintian >/dev/null; then
    said=$(lintian --fail-on error,warning $(cat "$folder/a.txt") 2>&1 | grep -v "root privileges") || true
    [ -z "$said" ] || { echo "$said"; exit 1; }
    ok
else
    echo "SKIP lintian is not installed"
fi

fresh=$folder/root
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+' | head -1)
debootstrap --variant=minbase --include=ca-certificates "$suite" "$fresh" ${mirror:+"$mirror"} >"$folder/debootstrap.log" 2>&1 ||
    skip "debootstrap: $(tail -1 "$folder/debootstrap.log")"
cp -r /etc/apt/. "$fresh/etc/apt/"
cp /etc/resolv.conf "$fresh/etc/" 2>/dev/null || true
cp /etc/ssl/certs/ca-certificates.crt "$fresh/etc/ssl/certs/"
cp -r models "$fresh/models"
mkdir "$fresh/packages"
xargs cp -t "$fresh/packages" <"$folder/a.txt"
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$fresh" "$@"; }
apt() { inside apt-get -qq "$@" >"$folder/apt.log" 2>&1 || { cat "$folder/apt.log"; exit 1; }; }
apt update

"$build/variant" generate -m models/fashion --class Sneaker -s 3 --depth 6 -o "$folder/want.png"
begin=$SECONDS
apt install -y --no-install-recommends /packages/variant_*.deb
inside variant generate -m /models/fashion --class Sneaker -s 3 --depth 6 -o /got.png
echo "installed and drawn in $((SECONDS - begin)) s"
cmp "$folder/want.png" "$fresh/got.png" && ok

apt install -y --no-install-recommends /packages/python3-variant_*.deb
inside python3 -c 'import variant; variant.Engine("/models/fashion").generate("Sneaker", seed=3, depth=6)[0].save("/python.png")'
cmp "$folder/want.png" "$fresh/python.png" && ok

apt install -y --no-install-recommends /packages/libvariant0_*.deb /packages/libvariant-dev_*.deb gcc libc6-dev pkg-config
sed -n '/#include <stdio.h>/,/^ \*     }$/p' include/variant.h | sed -E 's/^ \*( {5})?//' >"$fresh/program.c"
for way in "" --static; do
    if [ -z "$way" ]; then
        inside sh -c 'gcc -Wall -Werror program.c -o program $(pkg-config --cflags --libs variant)'
        inside ldd /program | grep -q libvariant.so.0 && ok
    else # the archive, everything else shared
        inside sh -c 'gcc -Wall -Werror program.c -o program $(pkg-config --cflags variant) -l:libvariant.a $(pkg-config --libs --static variant | sed "s/-lvariant//")'
        ! inside ldd /program | grep -q libvariant.so.0 && ok
    fi
    inside /program
    [ "$(head -c 4 "$fresh/sneaker.png" | tail -c 3)" = PNG ] && ok
    rm "$fresh/sneaker.png"
done

apt purge -y variant libvariant0 libvariant-dev python3-variant
left=$(find "$fresh/usr" "$fresh/etc" -name '*variant*' ! -path '*/perl*' ! -path '*/python3*/*' -newer "$folder/want.png" | head -5)
[ -z "$left" ] && [ ! -e "$fresh/usr/lib/python3/dist-packages/variant" ] && ok
echo "$passed passed, 0 failed"
