#!/bin/sh
# `variant plan`, and budgets of generate and bench: in words, exit status, one line a complaint, the cache of
# times, a sweep's results, plans that generate accepts and whose memory it takes.
set -eu
variant=$1/variant
model=$(dirname "$0")/../models/fashion
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"
export VARIANT_WATCH=off # what is kept must not depend on the tests beside this one
fail() { echo "cli_plan: $1" >&2; exit 1; }
plan() { "$variant" plan -m "$model" -t 1 "$@" 2>&1; }
bench() { "$variant" bench -m "$model" -t 1 --repeat 1 "$@" 2>&1; }
generate() { "$variant" generate -m "$model" -t 1 -o "$folder/a.png" "$@" 2>&1; }
# expect STATUS WORDS COMMAND...: exit status and words in what it says
expect() {
    want=$1 words=$2 got=0
    shift 2
    said=$("$@") || got=$?
    [ $got = "$want" ] || fail "$*: exit status $got, expected $want: $said"
    echo "$said" | grep -qF -e "$words" || fail "$*: no \"$words\" in: $said"
}

for bad in "--max-memory 300X" "--max-memory -1M" "--max-memory 0" "--max-latency 5m" \
    "--max-latency 0s" "--max-latency ms" "--layers 0,3" "--quality best" "--batch none" "surplus"; do
    expect 2 "variant plan: " plan $bad
done
expect 2 "give no --depth" generate --quality fast --depth 2
expect 2 "give no --depth" generate --batch auto --bridge 2
expect 2 "expected equidistant" generate --quality fast --layers 0,3
expect 2 "--compare" generate --quality fast --compare 8,4
expect 2 "give no --depth" bench --quality fast --depth 2

# Times are kept: the second plan finds them, --remeasure does not look.
expect 0 '"measured": true' plan --json
[ "$(find "$XDG_CACHE_HOME/variant" -name 'costs-*.json' | wc -l)" = 1 ] || fail "no table of times"
expect 0 '"measured": false' plan --json
expect 0 '"measured": true' plan --json --remeasure
table=$(echo "$XDG_CACHE_HOME"/variant/costs-*.json)
echo "{" >"$table"
expect 0 "measured again" plan
[ "$(plan | grep -c warning)" = 0 ] || fail "a damaged table was not replaced"

# The sizes' units: 1 GB and 1 GiB, as the plan repeats them.
expect 0 '"max_bytes": 1000000000, "max_seconds": 900.0' plan --json --max-memory 1G --max-latency 900s
expect 0 '"max_bytes": 1073741824, "max_seconds": 900.0' plan --json --max-memory 1GiB --max-latency 900000ms
expect 1 " MB of 0.0 (" plan --max-memory 1K
expect 1 "generate: no schedule fits; the nearest takes " generate --max-memory 1K
[ "$(generate --max-memory 1K | wc -l)" = 1 ] || fail "not one line"
[ ! -e "$folder/a.png" ] || fail "a picture without a plan"
expect 1 " ms of 0.0 (" plan --max-latency 0.001ms

# Generation takes the plan, and exactly its memory.
words=$(plan --max-memory 1G | sed -n 's/^fits: //p')
[ -n "$words" ] || fail "1 GB does not fit"
generate $words >/dev/null
[ -s "$folder/a.png" ] || fail "generate $words"
number() { sed -n "s/.*\"$1\": \\([0-9]*\\).*/\\1/p"; }
said=$(generate --json -n 5 --max-memory 25M --batch auto --quality balanced)
sum=$(($(echo "$said" | number weight_bytes) + $(echo "$said" | number arena_peak_bytes) + $(echo "$said" | number kv_peak_bytes)))
[ "$(echo "$said" | number bytes)" = $sum ] || fail "memory of $said is $sum"
[ $sum -le 25000000 ] || fail "$sum bytes of 25 MB"
[ "$(echo "$said" | number batch)" -gt 1 ] || fail "one picture at a time: $said"
expect 0 'depths      12,12,12,12,3,3,3' generate --quality fast
expect 0 'plan        --bridge 4 --depth 3' generate --quality fast
expect 0 'plan: --bridge 4 --depth 6' bench --quality balanced

# The unconditional branch: as the model has it, told; as asked; and what is printed makes the request that was priced.
expect 0 "uncond  12,12,12,12,2,2,2  layers of guidance's unconditional branch by scale" plan --max-memory 1G
expect 0 "uncond  12,12,12,12,6,6,6" plan --max-memory 1G --uncond-depth 6
[ "$(plan --max-memory 1G --uncond-depth 0 | grep -c '^  uncond')" = 0 ] || fail "equal branches are told apart"
[ "$(plan --max-memory 1G --cfg-scale 0 | grep -c '^  uncond')" = 0 ] || fail "an unconditional branch without guidance"
expect 0 '"uncond_depths": "12,12,12,12,2,2,2"' plan --json --max-memory 1G
expect 2 "give --uncond-depth" plan --uncond-depths 12,12,12,12,2,2,2
expect 0 "changes nothing: without guidance" plan --cfg-scale 0 --uncond-depth 2
own=$(plan --json --max-memory 1G | number bytes) equal=$(plan --json --max-memory 1G --uncond-depth 0 | number bytes)
[ "$own" -lt "$equal" ] || fail "a shallower branch takes $own bytes, an equal one $equal"
# ... whatever was asked stands in it, so that it can be pasted
for asked in "--uncond-depth 0" "--uncond-depth 6" "--cfg-late 2 --uncond-depth 3" "--cfg-scale 0" "--weights bf16 --kv int8" "--decoder preview"; do
    words=$(plan --max-memory 1G $asked | sed -n 's/^fits: //p')
    said=$(generate --json $words) expected=$(plan --json --max-memory 1G $asked | number bytes)
    sum=$(($(echo "$said" | number weight_bytes) + $(echo "$said" | number arena_peak_bytes) + $(echo "$said" | number kv_peak_bytes)))
    [ "$sum" = "$expected" ] || fail "plan $asked: $expected bytes, $words: $sum"
done
expect 0 "--batch 1 --uncond-depth 0" plan --max-memory 1G --uncond-depth=0
said=$(generate --json $(plan --max-memory 1G --uncond-depth 6 | sed -n 's/^fits: //p'))
sum=$(($(echo "$said" | number weight_bytes) + $(echo "$said" | number arena_peak_bytes) + $(echo "$said" | number kv_peak_bytes)))
[ "$(plan --json --max-memory 1G --uncond-depth 6 | number bytes)" = $sum ] || fail "with --uncond-depth 6: $sum bytes"

# A sweep's results: the best measured one that fits, and files that do not serve.
hash=$("$variant" generate -m "$model" -t 1 -o "$folder/a.png" --json | sed -n 's/.*"model": "\([0-9a-f]*\)".*/\1/p')
point() { printf '{"id": "%s-%s", "bridge": %s, "depth": %s, "selector": "equidistant", "cfg_scale": 1.5, "quality": {"frechet": %s, "name": "FID(classifier)"}}' "$1" "$2" "$1" "$2" "$3"; }
sweep() { printf '{"model": {"hash": "%s"}, "settings": {"weights": "f32", "kv": "f32"}, "points": [%s, %s, %s]}' "$1" "$(point 1 12 9.5)" "$(point 4 6 9.25)" "$(point 1 2 30)" >"$folder/sweep.json"; }
sweep "$hash"
expect 0 "fits: --bridge 4 --depth 6" plan --sweep "$folder/sweep.json"
expect 0 "9.25     FID(classifier)" plan --sweep "$folder"
expect 0 "FID(classifier) 9.25: the best FID(classifier) of 3 measured schedules" generate --sweep "$folder"
expect 0 "its scores come without a spread" plan --sweep "$folder"
spread() { sed "s/\"name\"/\"frechet_spread\": $1, \"name\"/g" "$folder/sweep.json" >"$folder/spread.json"; }
spread 0.05
expect 0 "9.25 +- 0.05 FID(classifier)" plan --sweep "$folder/spread.json"
spread 0.3
expect 0 "fits: --bridge 7 --depth 12" plan --sweep "$folder/spread.json"
expect 0 "keeps most layers of 2 whose FID(classifier) is the best within its spread, of 3 measured" plan --sweep "$folder/spread.json"
spread 0.6
expect 0 "which are within 5 % of it cannot be told" plan --sweep "$folder/spread.json" --quality balanced
sed 's/{"model"/{"format": 3, "model"/' "$folder/sweep.json" >"$folder/newer.json"
expect 1 "format 3, by a newer version" plan --sweep "$folder/newer.json"
# Points of a sweep with other unconditional branches: the plan says which.
guided() { printf '{"id": "%s", "bridge": 4, "depth": %s, "selector": "equidistant", "cfg_scale": 1.5, "cfg_late": %s, "uncond_depths": "12,12,12,12,%s", "guidance": [0, 0.25, 0.5, 0.75, %s], "quality": {"frechet": %s, "name": "FID(classifier)"}}' "$@"; }
printf '{"model": {"hash": "%s"}, "settings": {"weights": "f32", "kv": "f32"}, "points": [%s, %s]}' "$hash" \
    "$(guided a 12 2 6,6,6 "2, 2.5, 3" 5)" "$(guided b 6 1 3,3,3 "1, 1.25, 1.5" 7)" >"$folder/guided.json"
expect 0 "fits: --bridge 4 --depth 12 --layers equidistant --uncond-depth 6 --uncond-layers equidistant --cfg-late 2 --batch 1" plan --sweep "$folder/guided.json"
words=$(plan --sweep "$folder/guided.json" | sed -n 's/^fits: //p')
expect 0 "12,12,12,12,6,6,6" generate $words
expect 0 "--uncond-depth 3" plan --sweep "$folder/guided.json" --cfg-late 1
least=$(plan --json --sweep "$folder" --max-memory 1K | number bytes)
expect 0 "fits: --bridge 1 --depth 2" plan --sweep "$folder" --max-memory "$least"
sweep 0123456789abcdef
expect 1 "a sweep of another model" plan --sweep "$folder"

# Plans of random budgets against runs: exact to the byte.
if command -v python3 >/dev/null; then
    check=$(dirname "$0")/../tools/plan_check.py
    expect 0 "2 of 2 memory predictions exact" python3 "$check" --variant "$variant" -m "$model" -t 1 --batch 2 --budgets 2 --repeat 1
fi
