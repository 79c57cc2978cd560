#!/bin/sh
# Writes manual pages (OUT/man1) and bash's completion (OUT/variant.bash) from what the program says of itself: --help of every
# command is their only source. The build runs it; a page a command, and one for each of `train`'s and `bench`'s kinds.
#   tools/manuals.sh PROGRAM VERSION OUT
set -eu
program=$1 version=$2 out=$3
tools=$(cd "$(dirname "$0")" && pwd)
# The program does not compute here.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LC_ALL=C
export OMP_NUM_THREADS OPENBLAS_NUM_THREADS LC_ALL
# Of the sources, so that a build can be repeated.
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$tools/../CHANGELOG.md")}" +%Y-%m-%d)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out/man1"

# help FILE WORDS..: what `variant WORDS --help` says
help() {
    file=$1
    shift
    "$program" "$@" --help >"$work/$file"
}
# page NAME TITLE-WORDS PURPOSE: OUT/man1/NAME.1 from the help in the file NAME
page() {
    awk -v name="$1" -v words="$2" -v purpose="$3" -v version="$version" -v date="$date" -v pages="$pages" \
        -f "$tools/manual.awk" "$work/$1" >"$out/man1/$1.1"
}

# Rows of a help text such as "  generate     pictures of a class": word, a blank, what it is.
rows() { sed -nE 's/^  ([a-z]+) {2,}([^ ].*)$/\1 \2/p' "$1"; }

help variant
rows "$work/variant" >"$work/commands"
pages=""
while read -r command purpose; do
    help "variant-$command" "$command"
    echo "variant-$command|$command|$purpose" >>"$work/pages"
    pages="$pages variant-$command"
    # kinds that have a help of their own: `variant train tokenizer`
    {
        rows "$work/variant-$command"
        sed -nE "s/^.*variant $command ([a-z]+) .*/\1/p" "$work/variant-$command" | sort -u
    } | awk '!seen[$1]++' >"$work/kinds"
    while read -r kind what; do
        help kind "$command" "$kind"
        grep -q "^usage: variant $command $kind " "$work/kind" || continue
        mv "$work/kind" "$work/variant-$command-$kind"
        [ -n "$what" ] || what=$(sed -nE '/^$/{n;s/\..*//p;q}' "$work/variant-$command-$kind")
        echo "variant-$command-$kind|$command $kind|$what" >>"$work/pages"
        pages="$pages variant-$command-$kind"
    done <"$work/kinds"
done <"$work/commands"

page variant variant "visual autoregressive image generation whose depth is chosen per request"
while IFS='|' read -r name words purpose; do
    page "$name" "variant $words" "$purpose"
done <"$work/pages"

# The completion's table: every command's words and options with what they take, then the functions that read it.
(cd "$work" && {
    echo "== variant"
    cat variant
    cut -d'|' -f1,2 pages | while IFS='|' read -r name words; do
        echo "== $words"
        cat "$name"
    done
}) | awk -v functions="$tools/completion.bash" -f "$tools/completion.awk" >"$work/variant.bash"
mv "$work/variant.bash" "$out/variant.bash"
