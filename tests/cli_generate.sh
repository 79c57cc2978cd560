#!/usr/bin/env bash
# `variant generate` (and `variant bench`) end to end on a synthetic model: files, patterns, sheets, scales, tokens, settings in the PNG, warnings,
# and one clear line with no file left behind for everything that cannot be done.
#   tests/cli_generate.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"

# expect STATUS WORDS -- ARGUMENTS: exit status, and words on stderr in one line unless the status is 0
expect() {
    local want=$1 words=$2
    shift 3
    "$variant" generate "$@" >out.txt 2>err.txt
    local got=$?
    if [ $got -ne "$want" ]; then bad "exit $got, not $want: generate $*"; return; fi
    if [ "$want" -eq 1 ] && [ "$(wc -l <err.txt)" -ne 1 ]; then bad "not one line: generate $*"; return; fi
    if [ -n "$words" ] && ! grep -qF -- "$words" err.txt; then bad "no \"$words\": generate $*"; return; fi
    ok
}
exists() { for file in "$@"; do if [ -s "$file" ]; then ok; else bad "$file is missing"; fi; done; }
absent() { for file in "$@"; do if [ ! -e "$file" ]; then ok; else bad "$file was left behind"; fi; done; }

cat >tiny.json <<'JSON'
{"seed": "G", "depth": 5, "width": 64, "heads": 2, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
"$variant" synth tiny.json -o tiny.safetensors >/dev/null 2>err.txt || bad synth
m="-m tiny.safetensors"

# shellcheck disable=SC2086
{
    expect 0 "" -- --help
    expect 0 "" -- $m -o one.png
    exists one.png
    expect 0 "" -- $m -n 3 -o many_%02d.png
    exists many_00.png many_01.png many_02.png
    expect 0 "" -- $m -n 2 -o plain.png
    exists plain_00.png plain_01.png
    expect 0 "" -- $m -n 6 --class all --grid -o sheet.png --tokens-out tokens.safetensors --save-scales scales
    exists sheet.png tokens.safetensors scales/00_scale_01.png scales/05_scale_03.png
    expect 0 "" -- $m -n 2 --compare 5,3,1 --bridge 1 -o compare.png
    exists compare.png
    expect 0 "no supernet training" -- $m --depth 2 --bridge 1 -o shallow.png
    expect 0 "" -- $m --smooth --retain-kv --json -o smooth.png
    grep -q '"kv_peak_bytes"' out.txt && ok || bad "--json says no kv_peak_bytes"
    grep -q '"seed":"0"' one.png && grep -q '"depths":"5,5,5"' one.png && ok || bad "settings are not in the PNG"
    # the same picture again, by what its PNG says; another one by another seed
    expect 0 "" -- $m -s 0 -o again.png
    cmp -s one.png again.png && ok || bad "same seed, other bytes"
    expect 0 "" -- $m -s 1 -o other.png
    cmp -s one.png other.png && bad "other seed, same bytes" || ok

    "$variant" bench -m tiny.safetensors --depth 2 --bridge 1 --batch 2 --repeat 3 --json >out.txt 2>err.txt || bad bench
    for key in picture_ms transformer_ms transformer_floor_ms decoder_ms decoder_floor_ms load_ms first_scale_ms kv_bytes \
        peak_rss_bytes kernels scales floor_ms; do
        grep -q "\"$key\": [^,]" out.txt && ok || bad "bench --json says no $key"
    done
    "$variant" bench -m tiny.safetensors --bridge 1 --compare 3,2 --weights bf16 --repeat 1 --json >out.txt 2>err.txt &&
        grep -q '"depth": 2.*"expected_ms": [0-9]' out.txt && ok || bad "bench --compare"
    "$variant" generate -m tiny.safetensors --weights int8 --kv int8 --class 0 -o eight.png --json >out.txt 2>err.txt &&
        grep -q '"weights": "int8", "kv": "int8"' out.txt && ok || bad "generate --weights int8"
    if command -v python3 >/dev/null; then
        "$root/bench/first_scale.py" "$variant" 2 a=tiny.safetensors b=tiny.safetensors:bf16 >out.txt 2>err.txt &&
            grep -q "^b .* ms: loading .* scale 1 .* every run: [0-9]* [0-9]*$" out.txt && ok || bad "bench/first_scale.py"
        "$root/bench/first_scale.py" "$variant" 2 a=nowhere >out.txt 2>err.txt && bad "first_scale.py of no model" || ok
        [ "$(wc -l <err.txt)" -eq 1 ] && grep -q "nowhere" err.txt && ok || bad "first_scale.py: not one line of a model that is not there"
    fi
    "$variant" generate -m tiny.safetensors --weights f8 --class 0 -o eight.png >out.txt 2>err.txt && bad "--weights f8" || ok
    "$variant" bench --arch tiny.json --repeat 1 >out.txt 2>err.txt && grep -q synthetic out.txt && ok || bad "bench --arch"

    # what changes nothing is said
    for off in "--cfg-scale 0" "--cfg-scales 0,0,0"; do
        expect 0 "warning: --uncond-depth changes nothing" -- $m $off --uncond-depth 1 -o idle.png
        expect 0 "warning: --uncond-layers changes nothing" -- $m $off --uncond-layers 0,1 -o idle.png
    done
    expect 0 "" -- $m --cfg-scales 0,0,1 --uncond-depth 1 -o idle.png
    grep -q "changes nothing" err.txt && bad "an unconditional branch is said to be none" || ok
    "$variant" bench $m --repeat 1 --cfg-scale 0 --uncond-depth 1 >out.txt 2>err.txt || bad "bench without guidance"
    grep -q "warning: --uncond-depth changes nothing" err.txt && ok || bad "bench is silent of --uncond-depth without guidance"
    rm -f idle.png

    expect 2 "which model" -- -o x.png
    expect 2 "unknown option" -- $m --deph 3
    expect 2 "--top-p 1.5: expected a number from 0 to 1" -- $m --top-p 1.5
    expect 2 "--count 0: expected a whole number from 1 to 1000000" -- $m -n 0
    expect 2 "needs a value" -- $m --seed
    expect 2 "unexpected argument" -- $m cat
    expect 2 "no class \"cat\"" -- $m --class cat -o x.png
    expect 2 "expected 0 to 2" -- $m --class 3 -o x.png
    expect 2 "" -- $m --depth 6 -o x.png
    expect 2 "" -- $m --depth 2 --bridge 4 -o x.png
    expect 2 "" -- $m --depths 5,5 -o x.png
    expect 2 "" -- $m --layers 0,5 -o x.png
    expect 1 "nowhere" -- -m nowhere -o x.png
    expect 1 "no folder" -- $m -o no/such/x.png
    expect 1 "is a folder" -- $m -o scales
    expect 2 "one number" -- $m -o x_%d_%d.png
    expect 2 "one number" -- $m -o x_%s.png
    expect 1 "/dev/full" -- $m --tokens-out /dev/full/x.npz -o x.png
    expect 2 "x: tokens are written to files that end in .safetensors or .npz" -- $m --tokens-out x -o x.png
    head -c 1000 tiny.safetensors >cut.safetensors
    expect 1 "cut.safetensors" -- -m cut.safetensors -o x.png
    absent x.png
    # a disk that fills up while the picture is written
    (ulimit -f 0; "$variant" generate $m -o full.png >out.txt 2>err.txt) && bad "wrote beyond the limit" || ok
    absent full.png
    [ "$(find . -name '*.tmp*' -o -name '.*.png*' | wc -l)" -eq 0 ] && ok || bad "temporary files were left behind"
}

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
