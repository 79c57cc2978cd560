#!/usr/bin/env bash
# `variant train decoder` end to end on small pictures: what it writes, that the model stays what it was, that stopped runs and other
# numbers of threads give the same bytes, --decoder of every command that has it, and one clear line for what cannot be done.
#   tests/cli_decoder.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
says() { grep -qF -- "$1" err.txt out.txt && ok || bad "no \"$1\""; }
refuses() { # words -- arguments: one line, which names the command
    local words=$1
    shift 2
    "$variant" "$@" >out.txt 2>err.txt && bad "did not refuse: $*"
    [ "$(grep -cE '^variant [a-z ]+: ' err.txt)" -eq 1 ] && grep -qF -- "$words" err.txt && ok ||
        bad "not one line with \"$words\": $*"
}
same() { cmp -s "$1" "$2" && ok || bad "$1 and $2 differ"; }
differ() { cmp -s "$1" "$2" && bad "$1 and $2 are the same" || ok; }

cat >noise.json <<'JSON'
{"seed": "T", "depth": 2, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 2], "nres": 1}
JSON
run synth noise.json --type f16 -o model.safetensors
mkdir -p pictures/left pictures/right
run generate -m model.safetensors --class 0 -n 12 -o pictures/left/%02d.png
run generate -m model.safetensors --class 1 -n 12 -o pictures/right/%02d.png

# ---- a training: the model given with the decoder inside, the same for any threads, stopped or not
train="train decoder --data pictures --tokenizer model.safetensors --steps 8 --batch 4 --log-every 2 --eval-every 4 --sample-every 8 -q"
# shellcheck disable=SC2086
run $train -o one -t 1
says "chosen: --lr 0.002"
# shellcheck disable=SC2086
run $train -o two -t 2
same one/model.safetensors two/model.safetensors
[ -s one/samples/00000008.png ] && grep -q test_teacher_psnr one/log.jsonl && ok || bad "no sheet or no evaluation"
# shellcheck disable=SC2086
run ${train/--steps 8/--steps 4} -o cut
# shellcheck disable=SC2086
run $train -o cut --resume
says "8 steps instead of 4"
# shellcheck disable=SC2086
run ${train/--steps 8/--steps 8 --save-every 3} -o killed --schedule constant
# shellcheck disable=SC2086
run ${train/--steps 8/--steps 5} -o resumed --schedule constant
# shellcheck disable=SC2086
run $train -o resumed --schedule constant --resume
same killed/model.safetensors resumed/model.safetensors
# shellcheck disable=SC2086
run $train -o until --schedule constant --stop-after 5
says "stopped after step 5 of 8"
grep -q "^  variant train decoder .* -o until --schedule constant --resume" err.txt && ok || bad "not how to go on"
# shellcheck disable=SC2086
refuses "at step 5 already: it cannot stop after step 5" -- $train -o until --schedule constant --resume --stop-after 5
# shellcheck disable=SC2086
run $train -o until --schedule constant --resume --stop-after 8
same killed/model.safetensors until/model.safetensors
run train decoder --data pictures --tokenizer model.safetensors --steps 3 --batch 4 --precision bf16 --size tiny -o bf16 -q

hash_of() { "$variant" inspect "$1" | sed -n 's/^hash *//p'; }
[ "$(hash_of model.safetensors)" = "$(hash_of one/model.safetensors)" ] && ok || bad "another hash"
run inspect one
says "preview decoder"
says "widths         32,32, 1 block a level"
run inspect one --json
grep -q '"size":.*"small"' out.txt && grep -q '"preview_decoder"' out.txt && ok || bad "inspect --json does not tell the training"

# ---- its memory is told before
run train decoder --data pictures --tokenizer model.safetensors --dry-run --json
grep -q "\"activations_bytes\"" out.txt && ok || bad "no memory"
run plan train decoder --data pictures --tokenizer model.safetensors
says "activations"

# ---- pictures by it
for decoder in full preview; do
    run generate -m one --class 0 -s 3 --decoder $decoder -o $decoder.png --save-scales scales-$decoder
    run generate -m one --from $decoder.png -o again.png
    same $decoder.png again.png
    run reconstruct -m one --data pictures --decoder $decoder --json
    cp out.txt $decoder.json
    run bench -m one --decoder $decoder --repeat 1
    run plan -m one --decoder $decoder --max-memory 1G
done
run bench -m one --decoder preview --repeat 1 --json
says '"decoder": "preview"'
run bench --arch noise.json --decoder preview --repeat 1
says "preview decoder"
differ full.png preview.png
differ full.json preview.json
differ scales-full/00_scale_01.png scales-preview/00_scale_01.png
run generate -m one --class 0 -s 3 -o plain.png
same full.png plain.png
run generate -m model.safetensors --from full.png -o old.png # a picture of the model is one of it without the decoder, too
same full.png old.png
run generate -m one --from preview.png --decoder full -o full-again.png
same full.png full-again.png
run encode -m one pictures/left/00.png -o tokens.safetensors
run decode -m one tokens.safetensors --decoder preview -o small.png
run decode -m one tokens.safetensors -o large.png
differ small.png large.png

# ---- trained anew: pictures of the full decoder are made again, those of the other are refused, but for another decoder
[ "$(hash_of one)" = "$(hash_of bf16/model.safetensors)" ] && ok || bad "another decoder, another model"
run generate -m bf16 --from full.png -o full-again.png
same full.png full-again.png
run generate -m bf16 --from preview.png --decoder full -o full-again.png
same full.png full-again.png
run generate -m bf16 --vary preview.png --keep-scales 1 --decoder full -n 2 -o vary-%d.png
refuses "was decoded by the preview decoder" -- generate -m bf16 --from preview.png -o x.png
refuses 'decoder "full" takes the tokenizer'"'"'s own' -- generate -m bf16 --vary preview.png --keep-scales 1 -o x.png

# ---- metadata that tells another decoder than is there
with_preview() { # FILE OUT KEY VALUE
    python3 - "$@" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + n])
config = json.loads(header["__metadata__"]["variant.config"])
config["preview_decoder"][sys.argv[3]] = json.loads(sys.argv[4])
header["__metadata__"]["variant.config"] = json.dumps(config)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:])
PY
}
with_preview one/model.safetensors few.safetensors blocks 0
refuses "belongs to no preview decoder of 2 levels with 0 blocks each" -- generate -m few.safetensors -o x.png
with_preview one/model.safetensors many.safetensors blocks 2
refuses "is missing" -- generate -m many.safetensors -o x.png
for blocks in -1 99 '"x"' null; do
    with_preview one/model.safetensors odd.safetensors blocks "$blocks"
    refuses "blocks" -- generate -m odd.safetensors -o x.png
done
with_preview one/model.safetensors same.safetensors blocks 1
run generate -m same.safetensors --from preview.png -o again.png
same preview.png again.png

# ---- carried along
run convert one -o converted.safetensors --type f16
run generate -m converted.safetensors --class 0 -s 3 --decoder preview -o converted.png
same preview.png converted.png
run train supernet --data pictures --tokenizer one --model one -o net --steps 2 --batch 4 --depths 1 -q
run inspect net
says "preview decoder"
run generate -m net --class 0 --decoder preview -o net.png
run synth noise.json --preview tiny -o synthetic.safetensors
run generate -m synthetic.safetensors --class 0 --decoder preview -o synthetic.png
run train decoder --data pictures --tokenizer one --steps 1 --batch 4 -o over -q
says "has a preview decoder already"

# ---- one line
refuses "this model has no preview decoder; \`variant train decoder\` makes one" -- generate -m model.safetensors --decoder preview -o x.png
refuses "this model has no preview decoder" -- reconstruct -m model.safetensors --data pictures --decoder preview
refuses "this model has no preview decoder" -- decode -m model.safetensors tokens.safetensors --decoder preview -o x.png
refuses "this model has no preview decoder" -- bench -m model.safetensors --decoder preview --repeat 1
refuses "was decoded by the preview decoder" -- generate -m model.safetensors --from preview.png -o x.png
refuses "expected full or preview" -- generate -m one --decoder small -o x.png
refuses "expected tiny, small or medium" -- train decoder --data pictures --tokenizer one -o x --size huge
refuses "--tokenizer is missing" -- train decoder --data pictures -o x
refuses "was made with size small, now it is tiny" -- train decoder --data pictures --tokenizer model.safetensors --steps 8 --batch 4 -o one --size tiny --resume -q
refuses "was made with tokenizer" -- train decoder --data pictures --tokenizer net --steps 8 --batch 4 -o one --resume -q
refuses "there already" -- train decoder --data pictures --tokenizer model.safetensors -o one
refuses "no weight" -- train decoder --data pictures --tokenizer model.safetensors -o x --teacher 0
[ ! -e x.png ] && [ ! -e x ] && ok || bad "something half-written"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
