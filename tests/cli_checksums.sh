#!/usr/bin/env bash
# One bit that changed in each kind of file that the program writes is refused, in one line with the file and the tensor; with --no-verify it
# is taken. A model that is cut short while pictures are drawn from it is one line too.
#   tests/cli_checksums.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
command -v python3 >/dev/null || { echo "SKIP cli_checksums: no python3"; exit 0; }
says() { grep -qF -- "$1" err.txt out.txt && ok || bad "no \"$1\""; }
flip() { # FILE [PART_OF_A_NAME]: into damaged/, under its name; its tensor into $tensor
    mkdir -p damaged
    cp "$1" damaged/
    place=damaged/$(basename "$1")
    tensor=$(python3 "$root/tests/flip_bit.py" "$place" "${@:2}") && ok || bad "no bit could be flipped in $1"
}
refuses() { # -- arguments: in one line, beside warnings and notes, that names $place and $tensor
    shift
    "$variant" "$@" >out.txt 2>err.txt && bad "took $place: $*"
    [ "$(grep -E '^variant [a-z ]+: ' err.txt | grep -cvE '^[a-z ]+: (warning|note): ')" -eq 1 ] && tail -1 err.txt | grep -qF "$place: tensor $tensor is damaged" && ok ||
        bad "$place and $tensor are not named: $*"
}

# ---- models
cat >noise.json <<'JSON'
{"seed": "T", "depth": 3, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 64, "ch_mult": [1, 2], "nres": 1}
JSON
run synth noise.json --preview tiny -o model.safetensors
run generate -m model.safetensors --class 1 -o whole.png
for type in f32 f16 bf16 int8 int4; do run convert model.safetensors --type $type -o $type.safetensors; done
for type in bf16 int8 int4; do run convert model.safetensors --pack --weights $type -o packed-$type.safetensors; done
for file in model f32 f16 bf16 int8 int4 packed-bf16 packed-int8 packed-int4; do
    flip $file.safetensors mat_qkv
    refuses -- generate -m $place -o x.png
    [ -e x.png ] && bad "a picture of $place" || ok
    run generate -m $place --no-verify -o x.png
    rm -f x.png
done
for name in decoder.mid quantize.embedding preview_decoder; do
    flip model.safetensors $name
    refuses -- generate -m $place -o x.png
done
flip int8.safetensors .scale_of_
refuses -- generate -m $place -o x.png
flip packed-int8.safetensors mat_qkv.weight.scales
refuses -- generate -m $place -o x.png
flip model.safetensors mat_qkv
for command in "plan -m" "bench -m" "convert -o x.safetensors" "doctor -m"; do
    # shellcheck disable=SC2086
    refuses -- $command $place
done
run inspect $place
says "DAMAGED          $tensor"
run inspect $place --json
says "\"$tensor\""
run inspect model.safetensors
grep -q DAMAGED out.txt && bad "a whole model is damaged" || ok
run convert $place --no-verify -o blessed.safetensors
run generate -m blessed.safetensors -o x.png

# ---- shards; and a pipe, which is written in one go: the same bytes
mkdir shards
run convert model.safetensors --max-shard-size 2M -o shards/model.safetensors
run generate -m shards/model.safetensors.index.json --class 1 -o x.png
cmp -s x.png whole.png && ok || bad "shards draw something else"
shard=$(grep -l blocks.1.attn.mat_qkv.weight shards/*-of-*.safetensors | head -1)
cp -r shards damaged
cp "$shard" "$(basename "$shard")"
flip "$(basename "$shard")" blocks.1.attn.mat_qkv.weight
mv "$place" damaged/shards && place=damaged/shards/$(basename "$shard")
refuses -- generate -m damaged/shards/model.safetensors.index.json -o x.png
run generate -m damaged/shards/model.safetensors.index.json --no-verify -o x.png
"$variant" convert model.safetensors -o - 2>err.txt | cmp -s - f32.safetensors && ok || bad "a pipe gets other bytes"

# ---- trainings: what they start from, checkpoints, caches of tokens
mkdir -p pictures/left pictures/right
run generate -m model.safetensors --class 0 -n 12 -o pictures/left/%02d.png
run generate -m model.safetensors --class 1 -n 12 -o pictures/right/%02d.png
small="--side 8 --sides 1,2,3,4 --mult 1,1 --codes 16 --latent 8 --batch 4"
# shellcheck disable=SC2086
run train tokenizer --data pictures -o tokenizer $small --steps 2
net="--depth 2 --width 32 --heads 1 --batch 4 --steps 2"
flip tokenizer/tokenizer.safetensors
# shellcheck disable=SC2086
refuses -- train transformer --data pictures -o x --tokenizer $place $net
# shellcheck disable=SC2086
run train transformer --data pictures -o y --tokenizer $place $net --no-verify
# shellcheck disable=SC2086
run train transformer --data pictures -o transformer --tokenizer tokenizer $net --token-cache tokens.safetensors
for name in "" training/m/ training/v/; do
    flip transformer/checkpoint.safetensors $name
    rm -rf again && mkdir again && mv $place again && place=again/checkpoint.safetensors
    # shellcheck disable=SC2086
    refuses -- train transformer --data pictures -o again --tokenizer tokenizer $net --steps 4 --resume
done
# shellcheck disable=SC2086
run train transformer --data pictures -o again --tokenizer tokenizer $net --steps 4 --resume --no-verify
flip tokens.safetensors tokens
# shellcheck disable=SC2086
run train transformer --data pictures -o z --tokenizer tokenizer $net --token-cache $place
says "tensor tokens of the tokens is damaged: made again"
cmp -s tokens.safetensors $place && ok || bad "the tokens made again are others"

# ---- a classifier, what eval keeps, token maps
run train classifier --data pictures -o classifier --side 8 --mult 1,1 --features 8 --batch 8 --steps 2
flip classifier/classifier.safetensors
refuses -- classify -m $place pictures/left/00.png
run classify -m $place --no-verify pictures/left/00.png
run inspect $place
says "DAMAGED          $tensor"
says "classifier"
run inspect $place --json
says "\"$tensor\""
run inspect $place --no-verify
grep -q DAMAGED out.txt && bad "--no-verify looks at checksums" || ok
run inspect classifier/classifier.safetensors
grep -q DAMAGED out.txt && bad "a whole network is damaged" || ok
refuses -- eval -m model.safetensors --features $place --reference pictures -n 4
features="--features classifier/classifier.safetensors"
# shellcheck disable=SC2086
run eval -m model.safetensors $features --reference pictures -n 4 --save-reference kept.safetensors
for name in mean scatter features; do
    flip kept.safetensors $name
    # shellcheck disable=SC2086
    refuses -- eval -m model.safetensors $features --reference $place -n 4
done
run encode -m model.safetensors pictures/left -o maps.safetensors
flip maps.safetensors tokens
refuses -- decode -m model.safetensors $place -o x.png

# ---- what comes with the program
for file in "$root"/models/*/*.safetensors; do
    [ "$(head -c 65536 "$file" | grep -caF '"variant.checksums"')" -gt 0 ] && ok || bad "$file has no checksums"
done
flip "$root/models/fashion/classifier.safetensors"
refuses -- classify -m $place pictures/left/00.png

# ---- cut short while it is drawn from
cp model.safetensors cut.safetensors
"$variant" generate -m cut.safetensors -n 100000 --batch 1 -o many%06d.png >out.txt 2>err.txt &
drawing=$!
for ((i = 0; i < 600; i++)); do
    [ -e many000000.png ] && break
    sleep 0.05
done
truncate -s 8192 cut.safetensors
wait $drawing
[ $? -eq 1 ] && [ "$(wc -l <err.txt)" -eq 1 ] && ok || bad "a model cut short: not one line and status 1"
says "variant generate: cut.safetensors was cut short while it was in use"

# ---- cut short while something is trained from it, or measured in it
# FILE SIZE FIRST -- COMMAND...: begins it, cuts the file to SIZE bytes once FIRST is there; one line names the file, and the status is 1
cuts() {
    local file=$1 size=$2 first=$3
    shift 4
    "$variant" "$@" >out.txt 2>err.txt &
    local process=$!
    for ((i = 0; i < 600; i++)); do
        [ -e "$first" ] && break
        sleep 0.05
    done
    truncate -s "$size" "$file"
    wait $process
    [ $? -eq 1 ] && grep -qF "variant ${1}" err.txt && tail -1 err.txt | grep -qF "$file was cut short while it was in use" && ok || bad "not one line that $file was cut short"
}
training=(train transformer --data pictures --tokenizer model.safetensors -o run --depth 2 --width 64 --batch 4 --steps 1000000 --save-every 5 --quiet)
cuts run/tokens.cache 700 run/checkpoint.safetensors -- "${training[@]}"
rm -f run/tokens.cache
step=$(python3 -c 'import json, struct, sys
with open("run/checkpoint.safetensors", "rb") as file:
    head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
print(json.loads(head["__metadata__"]["variant.checkpoint"])["step"])')
[ $((step % 5)) -eq 0 ] && ok || bad "a checkpoint was written at step $step, after the cut"
run "${training[@]}" --resume --stop-after $((step + 5))
cp model.safetensors tokenizer.safetensors
cuts tokenizer.safetensors 8192 preview/checkpoint.safetensors -- train decoder --data pictures --tokenizer tokenizer.safetensors -o preview --batch 4 --steps 1000000 --save-every 5 --quiet
[ -e preview/preview.safetensors ] && bad "a model was written of what is gone" || ok
cp classifier/classifier.safetensors network.safetensors
cuts network.safetensors 4096 statistics.safetensors -- eval -m model.safetensors --features network.safetensors --reference pictures -n 1000000 --save-reference statistics.safetensors

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
