#!/usr/bin/env bash
# Libraries of other people that travel with us: which a program needs, and what has to be told of them. Called by tools/archive.sh and
# tools/wheel.sh.
#   tools/bundled_libraries.sh needed FILE...    a line each: the name it is loaded by, and its path; all but glibc's, which every system has
#   tools/bundled_libraries.sh tell FOLDER       reads such lines (any name) and writes FOLDER/LIBRARIES.txt, with versions and licences,
#                                                and FOLDER/licenses, with the text of each
set -euo pipefail
export LC_ALL=C

needed() {
    local said
    said=$(ldd "$@")
    ! grep 'not found' <<<"$said" >&2 || { echo "bundled_libraries.sh: $*: libraries are missing" >&2; exit 1; }
    awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' <<<"$said" |
        grep -vE '^(libc|libm|libmvec|libdl|librt|libpthread|libresolv|libutil|ld-linux[^ ]*)\.so|^libvariant\.so' | sort -u
}

# package PATH: the Debian package that has it; which of the folder's two names dpkg knows differs (/lib is /usr/lib)
package() {
    local path
    for path in "$1" "/usr$1" "$(readlink -f "$1")" "$(readlink -f "$1" | sed 's,^/usr,,')"; do
        dpkg-query -S "$path" 2>/dev/null | sed -n '1s/:.*//p' | grep . && return
    done
    echo "bundled_libraries.sh: $1 is of no package, so that neither version nor licence is known" >&2
    return 1
}

# license FILE: the names of licences in a Debian copyright file, as far as it is written for machines
license() {
    sed -nE 's/^License: *([^ ].*)$/\1/p' "$1" | sort -u | paste -sd, | sed 's/,/, /g'
}

tell() {
    local folder=$1 name path version source names list
    mkdir -p "$folder/licenses"
    list=$folder/LIBRARIES.txt
    {
        echo "Libraries of other people in here, as Debian has them: the file, its package and version, its source package, and the licences"
        echo "that the package's copyright file names, of sources that are not in the library, too."
        echo "The text of each is in licenses/, named as the package; the sources are Debian's, of that source package and version."
        echo
    } >"$list"
    while read -r name path; do
        tell_one "$name" "$(package "$path")"
    done
    tell_one "(compiled-in)" libxxhash-dev # a header that is compiled in
}

# tell_one NAME PACKAGE: its line of the list, and its licence
tell_one() {
    local name=$1 of=$2
    # shellcheck disable=SC2016
    read -r version source < <(dpkg-query -W -f '${Version} ${source:Package}=${source:Version}\n' "$of" | head -1)
    cp "/usr/share/doc/$of/copyright" "$folder/licenses/$of.txt"
    names=$(license "$folder/licenses/$of.txt")
    printf '%-44s %-28s %-26s %-40s %s\n' "$name" "$of" "$version" "$source" "${names:-see licenses/$of.txt}" >>"$list"
}

case ${1-} in
    needed | tell) "$@" ;;
    *) sed -n '2,/^set/{/^# */s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
