#!/usr/bin/env bash
# Ranks among themselves (test_ranks.c), 1, 2, 3 and 4 of them; and three of which one leaves early.
#   tests/ranks.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=mpi.sh
. "$(dirname "$0")/mpi.sh"
for count in 1 2 3 4; do
    timeout 60 "${mpirun[@]}" -np $count "$build/tests/test_ranks" $count >"$room/out.txt" 2>"$room/err.txt"
    code=$?
    [ $code -eq 0 ] && [ "$(grep -c checks "$room/out.txt")" -eq $count ] && continue
    echo "ranks of $count: exit status $code"
    cat "$room/out.txt" "$room/err.txt"
    exit 1
done
sort "$room/out.txt"
timeout 60 "${mpirun[@]}" -np 3 "$build/tests/test_ranks" leave >"$room/out.txt" 2>"$room/err.txt"
code=$?
[ $code -ne 0 ] && [ $code -ne 124 ] && grep -q 'rank 2 of 3, on .*, has ended before the others' "$room/err.txt" && exit 0
echo "a rank that leaves early: exit status $code"
cat "$room/err.txt"
exit 1
