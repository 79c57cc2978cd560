#!/bin/sh
# Writes manual pages (OUT/man1) and the completion of bash, zsh and fish (OUT/variant.bash and so on) from the program's own tables of options. The build
# runs it; a page a command, and one for each of `train`'s and `bench`'s kinds.
#   tools/manuals.sh PROGRAM OUT
set -eu
program=$1 out=$2
tools=$(cd "$(dirname "$0")" && pwd)
# The program does not compute here.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LC_ALL=C
# The pages' date is that of the sources, so that a build can be repeated.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$tools/../CHANGELOG.md")}
export OMP_NUM_THREADS OPENBLAS_NUM_THREADS LC_ALL SOURCE_DATE_EPOCH
rm -rf "$out"
mkdir -p "$out/man1"
"$program" help --format names >"$out/names"
while read -r page words; do
    # shellcheck disable=SC2086
    "$program" help --format man $words >"$out/man1/$page.1"
done <"$out/names"
rm "$out/names"
for shell in zsh fish bash; do # bash's last: the build waits for it
    {
        "$program" help --format "$shell"
        cat "$tools/completion.$shell"
    } >"$out/variant.$shell.part"
    mv "$out/variant.$shell.part" "$out/variant.$shell"
done
