#!/bin/sh
# `variant plan`: budgets in words, exit status, and a plan that generate accepts.
set -eu
variant=$1/variant
model=$(dirname "$0")/../models/fashion
fail() { echo "cli_plan: $1" >&2; exit 1; }
plan() { "$variant" plan -m "$model" -t 1 "$@" 2>&1; }

for bad in "--max-memory 300X" "--max-memory -1M" "--max-memory 0" "--max-latency 5m" \
    "--max-latency 0s" "--max-latency ms" "--layers 0,3" "surplus"; do
    status=0
    plan $bad >/dev/null || status=$?
    [ $status = 2 ] || fail "$bad: exit status $status, expected 2"
done
# The sizes' units: 1 GB and 1 GiB, as the plan repeats them.
plan --json --max-memory 1G --max-latency 900s | grep -q '"max_bytes": 1000000000, "max_seconds": 900.0' || fail "1G, 900s"
plan --json --max-memory 1GiB --max-latency 900000ms | grep -q '"max_bytes": 1073741824, "max_seconds": 900.0' || fail "1GiB"
status=0
text=$(plan --max-memory 1K) || status=$?
[ $status = 1 ] || fail "1 KB: exit status $status, expected 1"
echo "$text" | grep -q "no schedule fits; the nearest takes .* MB of 0.0" || fail "1 KB: $text"
words=$(plan --max-memory 1G | sed -n 's/^fits: //p')
[ -n "$words" ] || fail "1 GB does not fit"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$variant" generate -m "$model" -t 1 $words -o "$folder/a.png" >/dev/null
[ -s "$folder/a.png" ] || fail "generate $words"
