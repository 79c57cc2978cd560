#!/usr/bin/env bash
# Makes an archive for Linux distributions that have no package of ours: unpacked anywhere, it runs where glibc is as new as this machine's
# (README in it says which), since every other library is inside. Prints its path; the unpacked tree is build/archive/tree. Two builds make the same bytes.
#   tools/archive.sh [--models NAME,NAME...]     models of models/ to put inside, in share/variant/models
# Called by Containerfile and tests/archive.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
models=()
case ${1-} in
    --models) IFS=, read -ra models <<<"${2:?--models wants names of folders in models/}" ;;
    ?*) echo "archive.sh: no option $1; there is --models NAME,NAME..." >&2; exit 2 ;;
esac
for model in ${models[@]+"${models[@]}"}; do
    compgen -G "models/$model/*.safetensors" >/dev/null || { echo "archive.sh: models/$model holds no model" >&2; exit 2; }
done
tools/install-deps.sh
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
build=build/archive tree=build/archive/tree log=build/archive.log
mkdir -p build
version=$(sed -nE 's/^project\(variant VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
name=variant-$version-linux-$(uname -m)

make() {
    cmake --preset archive
    cmake --build --preset archive
    rm -rf "$tree"
    for component in program library dev; do
        cmake --install $build --prefix "$tree" --strip --component $component
    done
    # What is for Debian's own folders, or wants the libraries' headers.
    rm -r "$tree/lib/systemd" "$tree/lib/cmake" "$tree/lib/libvariant.a"
    sed -i -E '/^(Requires|Libs)\.private:/d; 1,2s/^# Found.*/# Found where this file lies, so that the tree may be moved./; 2{/^# in the place/d}' "$tree/lib/pkgconfig/variant.pc"
}

# The libraries, under the names they are loaded by, beside ours: found by DT_RPATH, which holds for what they load in turn as well.
bundle() {
    local documents=$tree/share/doc/variant soname path
    mkdir -p "$documents"
    tools/bundled_libraries.sh needed "$tree/bin/variant" "$tree/lib/libvariant.so.0" >$build/libraries
    while read -r soname path; do
        install -m 644 "$path" "$tree/lib/$soname"
    done <$build/libraries
    tools/bundled_libraries.sh tell "$documents" <$build/libraries
    cp LICENSE "$documents/copyright"
    for model in ${models[@]+"${models[@]}"}; do
        mkdir -p "$tree/share/variant/models/$model"
        cp models/"$model"/{*.safetensors,README.md} "$tree/share/variant/models/$model/"
    done
    # the newest of its symbols that a file in here asks for
    glibc=$(objdump -T "$tree"/bin/variant "$tree"/lib/*.so* | grep -oE 'GLIBC_[0-9]+\.[0-9.]+' | sort -Vu | tail -1 | sed 's/.*_//')
    cat >"$tree/README" <<TEXT
variant $version: visual autoregressive image generation whose depth is chosen per request.

For Linux on $(uname -m) with glibc $glibc or later; nothing else is needed, nothing has to be installed, and this folder may lie anywhere.

    bin/variant --help
    man share/man/man1/variant.1
    . share/bash-completion/completions/variant          # bash; zsh: share/zsh/vendor-completions, fish: share/fish/vendor_completions.d
    cc program.c \$(PKG_CONFIG_PATH=\$PWD/lib/pkgconfig pkg-config --cflags --libs variant) -Wl,-rpath,\$PWD/lib

Libraries of other people in lib/, with versions and licences: share/doc/variant/LIBRARIES.txt.
TEXT
}

pack() {
    find "$tree" -type d -exec chmod 755 {} +
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go+rX,go-w --format=gnu \
        --transform="s,^\.,$name," -C "$tree" -cf - . | gzip -9n >"$build/$name.tar.gz.part"
    mv "$build/$name.tar.gz.part" "$build/$name.tar.gz"
}

exec 3>&1 4>&2 >"$log" 2>&1
trap '[ $? -eq 0 ] || { tail -20 "$log"; echo "archive.sh: failed; all of it is in $log"; } >&4' EXIT
make
bundle
pack
echo "$build/$name.tar.gz" >&3
