#!/usr/bin/env bash
# `variant sweep` end to end: the shipped model, going on after kill -9, other settings refused, folders that cannot be
# written, a full disk, synthetic weights; and the report: well formed, nothing from outside.
#   tests/cli_sweep.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"

# expect STATUS WORDS -- ARGUMENTS: exit status, and words on stderr in one line unless the status is 0
expect() {
    local want=$1 words=$2
    shift 3
    "$variant" sweep "$@" >out.txt 2>err.txt
    local got=$?
    if [ $got -ne "$want" ]; then bad "exit $got, not $want: sweep $*"; return; fi
    if [ "$want" -ne 0 ] && [ "$(wc -l <err.txt)" -ne 1 ]; then bad "not one line: sweep $*"; return; fi
    if [ -n "$words" ] && ! grep -qF -- "$words" err.txt; then bad "no \"$words\": sweep $*"; return; fi
    ok
}
check() { if [ "${@:2}" ]; then ok; else bad "$1: ${*:2}"; fi; }
ids() { grep -oE '"id":[[:space:]]*"[^"]*"' "$1/sweep.json" | sort; }
run_lists() { grep -oE '"picture_ms":[[:space:]]*\[[^]]*\]' "$1/sweep.json"; }
runs() { # timed runs of all points together
    echo $(($(run_lists "$1" | wc -l) + $(run_lists "$1" | tr -cd ',' | wc -c)))
}

# ---- usage
expect 0 "" -- --help
expect 2 "either -m MODEL or --arch" -- -o a
expect 2 "give -o FOLDER" -- -m x
expect 2 "--depths 8,,2: expected 1 to 32 whole numbers from 1 to 1000" -- -m x -o a --depths 8,,2
expect 2 "--zones 3-1: expected 1 to 32 ranges" -- -m x -o a --zones 3-1
expect 2 "--selectors odd: expected 1 to 32 of equidistant, rounded or prefix" -- -m x -o a --selectors odd
expect 2 "give --reference" -- -m x -o a --features y
expect 2 "give --reference" -- -m x -o a --samples 10
expect 2 "no quality to measure" -- --arch x -o a --reference y
expect 2 "--samples 1: expected a whole number from 2 to 10000000" -- -m x -o a --reference y --samples 1
expect 2 "goes without" -- -m x --report-only a
expect 1 "nothing" -- -m nothing -o a
expect 1 "sweep.json" -- --report-only nothing

# ---- the shipped model, few runs
m="-m $root/models/fashion -t 1"
# shellcheck disable=SC2086
{
    expect 0 "" -- $m -o fashion --depths 12,2 --bridges 4 --repeat 1 --pictures 2 --zones 1-2
    expect 2 "depth 13: expected 1 to 12" -- $m -o no --depths 13
    check "no folder for nothing" ! -e no
}
check "points" "$(ids fashion | wc -l)" -eq 3
check "lines of the table" "$(wc -l <fashion/sweep.csv)" -eq 4
check "pictures in the report" "$(grep -o 'data:image/png;base64' fashion/report.html | wc -l)" -eq 3
check "nothing from outside" "$(grep -ciE 'https?:|<script|<link|url\(|@import' fashion/report.html)" -eq 0
check "quality is said to be missing" "$(grep -c 'Quality was not measured' fashion/report.html)" -eq 1
check "quality is null" "$(grep -cE '"quality":[[:space:]]*null' fashion/sweep.json)" -ge 3
if command -v python3 >/dev/null; then
    python3 - fashion/report.html >parse.txt 2>err.txt <<'PYTHON' || bad "report.html is not well formed: $(cat parse.txt)"
import sys
from html.parser import HTMLParser
class Check(HTMLParser):
    open_tags = []
    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(set(names)) != len(names): sys.exit("%s: an attribute twice" % tag)
        if tag not in ("meta", "img", "br"): self.open_tags.append(tag)
    def handle_endtag(self, tag):
        if not self.open_tags or self.open_tags.pop() != tag:
            sys.exit("</%s> at %s closes nothing" % (tag, self.getpos()))
text = open(sys.argv[1], encoding="utf-8").read()
parser = Check(convert_charrefs=True)
parser.feed(text)
parser.close()
if parser.open_tags: sys.exit("left open: %s" % parser.open_tags)
PYTHON
    ok
else
    echo "SKIP: no python3 to parse the report with"
fi
cp fashion/report.html before.html
expect 0 "" -- --report-only fashion
check "made again, the same bytes" "$(cmp before.html fashion/report.html && echo same)" = same
cp fashion/sweep.json before.json
# shellcheck disable=SC2086
{
    expect 0 "" -- $m -o fashion --depths 12,2 --bridges 4 --repeat 1 --pictures 2 --zones 1-2 --json
    check "a finished sweep is left alone" "$(cmp before.json fashion/sweep.json && echo same)" = same
    check "json" "$(grep -c '"points":2,"zones":1' out.txt)" -eq 1
    expect 1 "another seed (settings)" -- $m -o fashion --depths 12,2 --bridges 4 --repeat 1 --pictures 2 -s 1
    expect 1 "another weights (settings)" -- $m -o fashion --depths 12 --bridges 4 --repeat 1 --pictures 2 --weights bf16
    expect 1 "another decoder (settings)" -- $m -o fashion --depths 12 --bridges 4 --repeat 1 --pictures 2 --decoder preview
    cp -r fashion older && sed -i '/"decoder":/d' older/sweep.json
    expect 0 "" -- $m -o older --depths 12,2 --bridges 4 --repeat 1 --pictures 2 --zones 1-2
    expect 1 "another decoder (settings)" -- $m -o older --depths 12 --bridges 4 --repeat 1 --pictures 2 --decoder preview
    expect 0 "" -- $m -o small --depths 2 --bridges 4 --repeat 1 --pictures 2 --decoder preview
    check "the decoder is told" "$(grep -c '"decoder":[[:space:]]*"preview"' small/sweep.json)$(grep -c ', preview decoder' small/report.html)" = 11
}

# ---- quality: added to what is there, gone on with, another one refused
for class in Trouser Bag; do
    mkdir -p real/train/$class
    # shellcheck disable=SC2086
    "$variant" generate $m --class $class -n 6 --depth 2 -s 5 -o real/train/$class/%02d.png >/dev/null 2>err.txt ||
        bad "no pictures of $class"
done
cp -r real/train real/test
cp -r real other
"$variant" train classifier --data real -o judge --channels 1 --mult 1,1 --features 6 --crop 2 --batch 6 --lr 4e-3 \
    --warmup 2 --steps 6 --eval-every 6 -t 1 -q >/dev/null 2>err.txt || bad "no classifier"
points=(-o fashion --bridges 4 --repeat 1 --pictures 2 --zones 1-2)
quality=(--features judge/classifier.safetensors --reference real -n 10)
run_lists fashion >before.runs
# shellcheck disable=SC2086
{
    expect 1 "another top_k (settings)" -- $m "${points[@]}" "${quality[@]}" --depths 12,2 --top-k 5
    expect 0 "" -- $m "${points[@]}" "${quality[@]}" --depths 12,2
    check "every point is judged" "$(grep -cE '"name":[[:space:]]*"FID\(classifier\)"' fashion/sweep.json)" -eq 3
    check "and was not timed again" "$(run_lists fashion | cmp - before.runs && echo same)" = same
    cp fashion/sweep.json judged.json
    expect 0 "" -- $m "${points[@]}" "${quality[@]}" --depths 12,2
    check "a judged sweep is left alone" "$(cmp judged.json fashion/sweep.json && echo same)" = same
    expect 0 "" -- $m "${points[@]}" "${quality[@]}" --depths 12,6,2
    check "a point more, judged alike" "$(grep -cE '"name":[[:space:]]*"FID\(classifier\)"' fashion/sweep.json)" -eq 4
    expect 0 "" -- $m "${points[@]}" "${quality[@]}" --depths 12,6,2 --repeat 2
    check "a run more of each" "$(runs fashion)" -eq 8
    cp fashion/sweep.json judged.json
    expect 1 "another reference (quality)" -- $m "${points[@]}" "${quality[@]/#real/other}" --depths 12,2
    expect 1 "another split (quality)" -- $m "${points[@]}" "${quality[@]}" --depths 12,2 --split train
    expect 1 "another samples (settings): 10 there, 11 asked" -- $m "${points[@]}" "${quality[@]}" --depths 12,2 -n 11
    expect 1 "with quality, and none is asked" -- $m "${points[@]}" --depths 12,2
    expect 1 "with quality, and none is asked" -- $m "${points[@]}" "${quality[@]}" --depths 12,2 --no-quality
    expect 1 "absent" -- $m -o no "${quality[@]}" --depths 12 --reference absent
    expect 1 "fashion.safetensors" -- $m -o no "${quality[@]}" --depths 12 --features "$root/models/fashion/fashion.safetensors"
    expect 2 "which network measures" -- -m "$root/models/fashion/fashion.safetensors" -t 1 -o no --depths 12 --reference real
}
check "no folder for nothing" ! -e no
check "refusals change nothing" "$(cmp judged.json fashion/sweep.json && echo same)" = same
check "quality in the table" "$(grep -c '"FID(classifier)",[0-9]' fashion/sweep.csv)" -eq 4
check "as many columns everywhere" "$(sed 's/"[^"]*"/x/g' fashion/sweep.csv | awk -F, '{print NF}' | sort -u | wc -l)" -eq 1
check "quality in the report" "$(grep -c 'Quality against time' fashion/report.html)" -ge 1
check "under eval's name" "$(grep -c '<th>IS(classifier)</th><th>precision</th><th>recall</th>' fashion/report.html)" -eq 1
check "with the kernel distance" "$(grep -c '<th>KID(classifier)</th>' fashion/report.html) $(head -1 fashion/sweep.csv | grep -o 'kid,kid_spread$') $(sed 's/"[^"]*"/x/g' fashion/sweep.csv | awk -F, 'NR > 1 && $(NF - 1) != ""' | wc -l)" = "1 kid,kid_spread 4"
check "still nothing from outside" "$(grep -ciE 'https?:|<script|<link|url\(|@import' fashion/report.html)" -eq 0

# ---- the unconditional branch, and several seeds
# shellcheck disable=SC2086
{
    expect 0 "" -- $m -o guided --depths 12,6 --bridges 4 --uncond-depths 0,2 --cfg-lates 1,2 --repeat 1 --pictures 1 "${quality[@]}" --seeds 3-4
    expect 1 "judged with other seeds: 3,4 there, 0 asked" -- $m -o guided --depths 12 --bridges 4 --repeat 1 --pictures 1 "${quality[@]}"
    expect 2 "give --reference" -- -m x -o a --seeds 1-3
    expect 2 "uncond_depths: depth 13: expected -1 (as the model has it), 0 (as depth) to 12" -- $m -o no --depths 12 --uncond-depths 13
}
check "equal branches once, a shallower one guided twice" "$(ids guided | grep -oE 'full.*|d6.*' | tr -d '"' | tr '\n' ' ')" = \
    "d6-n4-equidistant-cfg1.5 d6-n4-equidistant-cfg1.5-u2 d6-n4-equidistant-cfg1.5-u2-late2 full-cfg1.5 full-cfg1.5-u2 full-cfg1.5-u2-late2 "
check "means of two seeds" "$(grep -c '"seed":[[:space:]]*"4"' guided/sweep.json)" -eq 6
check "told apart in the report" "$(grep -c 'all 12 layers, unconditional 2, late 2' guided/report.html)" -ge 1

# ---- synthetic weights; killed in the middle; the rest is added
cat >tiny.json <<'JSON'
{"seed": "G", "depth": 5, "width": 64, "heads": 2, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
points=(--arch tiny.json --depths 5,3,2,1 --bridges 0,1,2 --selectors equidistant,prefix --repeat 20 -t 1)
expect 0 "" -- "${points[@]}" -o whole
"$variant" sweep "${points[@]}" -o killed >/dev/null 2>&1 &
pid=$!
for _ in $(seq 400); do # until two points are there, and not all
    [ -s killed/sweep.csv ] && [ "$(wc -l <killed/sweep.csv)" -ge 3 ] && break
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "killed after some points" "$(ids killed | wc -l)" -ge 2
check "and before the last run" "$(runs killed)" -lt 380
expect 0 "" -- "${points[@]}" -o killed
check "the same points as without" "$(ids killed)" = "$(ids whole)"
check "20 runs each" "$(runs killed) $(runs whole)" = "380 380"
check "of 5 layers once, 3 depths, 3 bridges, 2 selectors" "$(ids whole | wc -l)" -eq 19
check "no pictures of synthetic weights" "$(find whole -name '*.png' | wc -l)" -eq 0
check "nothing temporary left" "$(find whole -type f | wc -l)" -eq 3
expect 1 "another" -- --arch tiny.json --weights bf16 --depths 5 --bridges 1 -o whole -t 1 --repeat 20

# ---- where nothing can be written
expect 1 "/dev/null/x" -- --arch tiny.json --depths 5 --bridges 1 -o /dev/null/x
echo "{" >broken.txt && mkdir broken && cp broken.txt broken/sweep.json
expect 1 "broken/sweep.json: not the results of a sweep" -- --arch tiny.json --depths 5 --bridges 1 -o broken
check "a broken file is not replaced" "$(cmp broken.txt broken/sweep.json && echo same)" = same
cp -r whole full
(
    ulimit -f 1 # a file may have 1 kB: as good as a full disk
    "$variant" sweep "${points[@]}" --zones 1-2 -o full >out.txt 2>err.txt
)
check "a full disk is a failure" $? -eq 1
check "in one line" "$(wc -l <err.txt)" -eq 1
check "that names the file" "$(grep -c 'full/sweep.json' err.txt)" -eq 1
check "and the results are still those of before" "$(cmp whole/sweep.json full/sweep.json && echo same)" = same

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
