#!/usr/bin/env bash
# `variant convert --pack` end to end: packed files serve every command that uses a model, with the pictures and the hash of the model that
# was packed; what needs other numbers, and every kind of damage, is one line.
#   tests/cli_packed.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
says() { grep -qE -- "$1" out.txt err.txt && ok || bad "no \"$1\""; }
silent() { grep -qE -- "$1" out.txt err.txt && bad "says \"$1\"" || ok; }
refuses() { # words -- arguments: one line, which names the command; nothing is written
    local words=$1
    shift 2
    "$variant" "$@" >out.txt 2>err.txt && bad "did not refuse: $*"
    [ "$(grep -cE '^variant [a-z ]+: ' err.txt)" -eq 1 ] && grep -qE -- "$words" err.txt && ok || bad "not one line with \"$words\": $*"
    [ ! -e x.png ] && [ ! -e x.safetensors ] && [ ! -e x ] && ok || bad "something was written: $*"
}
same() { cmp -s "$1" "$2" && ok || bad "$1 and $2 differ"; }

# Convolutions wide enough for Winograd's domain, and upsampling ones.
cat >noise.json <<'JSON'
{"seed": "T", "depth": 3, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 64, "ch_mult": [1, 2], "nres": 1}
JSON
run synth noise.json --type f16 --preview tiny -o model.safetensors
run synth noise.json -o exact.safetensors
hash_of() { "$variant" inspect "$1" | sed -n 's/^hash *//p'; }
mkdir -p pictures/left pictures/right
run generate -m model.safetensors --class 0 -n 6 -o pictures/left/%02d.png
run generate -m model.safetensors --class 1 -n 6 -o pictures/right/%02d.png

# ---- the same pictures, the same hash, whichever way settings go; nothing told but what is asked
for type in bf16 int8 int4; do
    run convert model.safetensors -o $type.safetensors --pack --weights $type
    [ "$(hash_of $type.safetensors)" = "$(hash_of model.safetensors)" ] && ok || bad "another hash"
    for decoder in full preview; do
        run generate -m model.safetensors --weights $type --decoder $decoder -n 3 --class 0,1 -s 4 -o a%d.png
        run generate -m $type.safetensors --decoder $decoder -n 3 --class 0,1 -s 4 -o b%d.png
        silent .warning
        for i in 0 1 2; do same a$i.png b$i.png; done
        run generate -m $type.safetensors --from a1.png -o c.png
        same a1.png c.png
        run generate -m model.safetensors --from b2.png -o c.png
        same b2.png c.png
    done
    run generate -m $type.safetensors --weights $type --init-img pictures/left/00.png --outpaint 4,0,0,0 --class 1 -o a.png
    run generate -m model.safetensors --weights $type --init-img pictures/left/00.png --outpaint 4,0,0,0 --class 1 -o b.png
    same a.png b.png
    # plain C takes the form of a convolution's kernel from the file, and without one the form that processors without AMX pack
    VARIANT_CPU=baseline run convert model.safetensors -o common.safetensors --pack --weights $type
    run generate -m common.safetensors --backend ref -s 4 -o a.png
    says "warning: common.safetensors: its weights are packed for the cpu backend; this one takes them apart, to the same numbers"
    run generate -m model.safetensors --weights $type --backend ref -s 4 -o b.png
    same a.png b.png
    run inspect $type.safetensors
    says "^  packed +$type weights as panels16 version 1"
    run inspect $type.safetensors --json
    python3 -c 'import json, sys
r = json.load(open("out.txt"))
assert r["files"][0]["packed"] == {"layout": "panels16", "version": 1, "weights": sys.argv[1]}, r["files"]
t = r["transformer"]; assert t["depth"] == 3 and t["mapped_bytes"] > 0' $type 2>err.txt && ok || bad "inspect --json"
    run generate -m $type.safetensors -o a.png --json
    python3 -c 'import json, sys; assert json.load(open("out.txt"))["weights"] == sys.argv[1]' $type 2>err.txt && ok || bad "weights"
    run convert $type.safetensors -o again.safetensors --pack --weights $type
    same $type.safetensors again.safetensors
    run convert model.safetensors -o other.safetensors --pack --weights $type -t 1
    same $type.safetensors other.safetensors
done
mkdir folder && cp bf16.safetensors folder/model.safetensors
run encode -m folder pictures/left/00.png -o tokens.safetensors
run decode -m bf16.safetensors tokens.safetensors -o decoded.png
run encode -m model.safetensors --weights bf16 pictures/left/00.png -o plain.safetensors
run decode -m model.safetensors --weights bf16 plain.safetensors -o plain.png
same decoded.png plain.png
run reconstruct -m int8.safetensors --data pictures
run bench -m int8.safetensors --repeat 1 --json
says '"weights": "int8"'
run plan -m int8.safetensors --max-memory 1G
run train decoder --data pictures --tokenizer model.safetensors --dry-run

# ---- integers that a data set chose stay what they are, with what their scales cover
run convert exact.safetensors -o integers.safetensors --type int8 --calibrate pictures --row-error 9
run convert integers.safetensors -o chosen.safetensors --pack --weights int8
[ "$(hash_of chosen.safetensors)" = "$(hash_of integers.safetensors)" ] && ok || bad "another hash"
grep -qa "weight.scales_of_rows" chosen.safetensors && ok || bad "no scale of a row"
run inspect integers.safetensors
told=$(grep "^  weights  *int8: " out.txt)
run inspect chosen.safetensors
[ -n "$told" ] && [ "$(grep "^  weights  *int8: " out.txt)" = "$told" ] && ok || bad "inspect does not tell what the products take: $told"
run generate -m integers.safetensors --weights int8 -n 3 -s 4 -o a%d.png
run generate -m chosen.safetensors -n 3 -s 4 -o b%d.png
for i in 0 1 2; do same a$i.png b$i.png; done
run convert integers.safetensors -o unsaid.safetensors --pack
cmp chosen.safetensors unsaid.safetensors >err.txt 2>&1 && ok || bad "a file of int8 packed without --weights is not int8"
VARIANT_CPU=baseline run convert integers.safetensors -o common.safetensors --pack --weights int8
run generate -m integers.safetensors --weights int8 --backend ref -s 4 -o a.png
run generate -m common.safetensors --backend ref -s 4 -o b.png
same a.png b.png

# ---- what a packed file has not
packed="its weights are packed for use as bf16; .*take the file it was packed from"
refuses "for f32 take" -- generate -m bf16.safetensors --weights f32 -o x.png
refuses "for int8 take" -- generate -m bf16.safetensors --weights int8 -o x.png
refuses "packed for use as bf16; to convert take the file it was packed from" -- convert bf16.safetensors -o x.safetensors
refuses "to convert take" -- convert bf16.safetensors -o x.safetensors --type int8
refuses "$packed" -- convert bf16.safetensors -o x.safetensors --pack --weights int8
refuses "to train on take" -- train supernet --data pictures --tokenizer bf16.safetensors --model bf16.safetensors -o x --steps 1
refuses "to train on take" -- train supernet --data pictures --tokenizer model.safetensors --model bf16.safetensors -o x --steps 1
refuses "to train on take" -- train transformer --data pictures --tokenizer bf16.safetensors -o x --steps 1
refuses "to train on take" -- train supernet --data pictures --tokenizer bf16.safetensors --model bf16.safetensors -o x --steps 1 --precision bf16
refuses "to train on take" -- train decoder --data pictures --tokenizer bf16.safetensors -o x --steps 1 --precision bf16
refuses "give --weights, no --type" -- convert model.safetensors -o x.safetensors --pack --type f16
refuses "--weights is for --pack" -- convert model.safetensors -o x.safetensors --weights bf16
refuses "backend ref packs no weights" -- convert model.safetensors -o x.safetensors --pack --backend ref

# ---- damage
cat >spoil.py <<'PY'
import json, struct, sys
path, out, what = sys.argv[1:4]
data = open(path, "rb").read()
n, = struct.unpack("<Q", data[:8])
header, body = json.loads(data[8:8 + n]), bytearray(data[8 + n:])
meta = header["__metadata__"]
packed = json.loads(meta["variant.packed"])
panels = "blocks.0.attn.mat_qkv.weight.panels"
scales = "blocks.0.attn.mat_qkv.weight.scales"
convolution = [k for k in header if k.startswith("decoder.") and k.endswith(".panels") and header[k]["shape"][1] in (9, 16)][0]
pad = 64
if what == "short": body = body[:-100]
if what == "misaligned": pad = 8
if what == "version": packed["version"] = 2
if what == "layout": packed["layout"] = "tiles32"
if what == "weights": packed["weights"] = "f32"
if what == "hash": packed["hash"] = "no hash"
if what == "shapes": del packed["shapes"]
if what == "entry": del packed["shapes"]["head.weight"]
if what == "stranger": packed["shapes"]["nobody.weight"] = [4, 4]
if what == "shape": packed["shapes"]["blocks.0.attn.mat_qkv.weight"] = [192, 65]
if what == "rank": packed["shapes"]["blocks.0.attn.mat_qkv.weight"] = [192, 64, 1]
if what == "negative": packed["shapes"]["blocks.0.attn.mat_qkv.weight"] = [-192, 64]
if what == "huge": packed["shapes"]["blocks.0.attn.mat_qkv.weight"] = [2 ** 39, 2 ** 39]
if what == "panels":
    s = header[panels]["shape"]
    header[panels]["shape"] = [s[0] * 2, s[1], s[2] // 2, s[3]]
if what == "kernel":
    s = header[convolution]["shape"]
    part = 4 if s[1] == 16 else 3
    header[convolution]["shape"] = [s[0], s[1] // part, s[2] * part, s[3]]
if what == "dtype": header[panels]["dtype"] = "F16" if header[panels]["dtype"] == "BF16" else "I8"
if what in ("nan", "scale"): del meta["variant.checksums"] # as made of these numbers
if what == "nan":
    at = header[panels]["data_offsets"][0] + 10
    body[at:at + 2] = b"\xc0\x7f"
if what == "scale":
    at = header[scales]["data_offsets"][0]
    body[at:at + 4] = b"\0\0\xc0\x7f"
if what == "name": header["blocks.0.attn.mat_qkv.weight.sclaes"] = header.pop(scales)
meta["variant.packed"] = "[1" if what == "text" else json.dumps(packed)
text = json.dumps(header).encode()
text += b" " * (-(8 + len(text)) % pad)
if pad == 8 and (8 + len(text)) % 64 == 0: text += b" " * 8
open(out, "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
spoilt() { # FILE WHAT WORDS
    python3 spoil.py "$1" bad.safetensors "$2" || bad "no $2"
    refuses "$3" -- generate -m bad.safetensors -o x.png
    grep -q "bad.safetensors" err.txt && ok || bad "$2: no file named"
    rm bad.safetensors
}
for type in bf16 int8; do
    spoilt $type.safetensors short "data at|bytes"
    spoilt $type.safetensors misaligned "does not begin at a multiple of 64 bytes"
    spoilt $type.safetensors version "packed as panels16 version 2, this program reads panels16 version 1"
    spoilt $type.safetensors layout "packed as tiles32 version 1"
    for what in weights hash shapes text; do spoilt $type.safetensors $what "metadata variant.packed"; done
    spoilt $type.safetensors entry "head.weight.(panels|scales) belongs to no weight that its metadata names"
    spoilt $type.safetensors stranger "nobody.weight.panels is missing"
    spoilt $type.safetensors shape "mat_qkv.weight"
    spoilt $type.safetensors rank "mat_qkv.weight|rank|shape"
    spoilt $type.safetensors negative "its shape in the metadata is none"
    spoilt $type.safetensors huge "too large"
    spoilt $type.safetensors panels "mat_qkv.weight.panels is no (BF16|U8) of \(12, 1, 64, 16\)"
    spoilt $type.safetensors kernel "conv[12].weight.panels is no BF16 of .[0-9]+, 9, "
    spoilt $type.safetensors dtype "mat_qkv.weight.panels is no"
done
spoilt bf16.safetensors nan "mat_qkv.weight.panels: 1 of its"
spoilt int8.safetensors scale "mat_qkv.weight.scales: 1 of its"
spoilt int8.safetensors name "mat_qkv.weight"
python3 spoil.py bf16.safetensors fine.safetensors nothing
run generate -m fine.safetensors -s 4 -o a.png
run generate -m bf16.safetensors -s 4 -o b.png
same a.png b.png

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
