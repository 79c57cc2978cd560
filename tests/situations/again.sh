#!/usr/bin/env bash
# Situations of pictures made from what there is: again by their own settings, refined, varied, edited by another class, from tokens, and
# guidance that is told a scale or a depth of its own.
#   tests/situations/again.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# pixels FILE: a hash of a PNG's picture, without its text.
pixels() {
    python3 - "$1" <<'PY'
import hashlib, struct, sys, zlib
data, at, picture = open(sys.argv[1], "rb").read(), 8, b""
while at < len(data):
    length, = struct.unpack(">I", data[at:at + 4])
    if data[at + 4:at + 8] == b"IDAT":
        picture += data[at + 8:at + 8 + length]
    at += 12 + length
print(hashlib.sha256(zlib.decompress(picture)).hexdigest())
PY
}
same_picture() { [ "$(pixels "$1")" = "$(pixels "$2")" ] || fault "$1 and $2 show different pictures"; }
other_picture() { [ "$(pixels "$1")" != "$(pixels "$2")" ] || fault "$1 and $2 show the same picture"; }

every_setting() {
    tiny_model m.safetensors 4
    local n=0
    while read -r options; do
        succeeds generate -m m.safetensors -t 1 $options -o a.png
        succeeds generate -m m.safetensors -t 1 --from a.png -o b.png
        same_bytes a.png b.png
        n=$((n + 1))
    done <<'LIST'
--class 2 -s 18446744073709551615
--first 1000 --depth 2 --bridge 1 --greedy
--depths 3,2,1 --smooth --cfg-scale 2.7
--layers 0-2;0,2;1 --uncond-layers 0-2;0;0 --top-k 7 --top-p 0.5
--cfg-scales 0.25,1.75,0 --weights bf16 --kv int8
--class uncond --cfg-scale 0 --weights int8
--uncond-depth 1 --depth 2 --scales 2 --weights bf16
LIST
    [ $n -eq 7 ] || fault "$n runs"
}
situation every-setting "a picture's own settings make it again, to the byte, whatever they are" every_setting

other_formats() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 3 --depth 2 -o a.png
    for ending in jpg webp; do
        succeeds generate -m m.safetensors -t 1 -s 3 --depth 2 -o a.$ending
        succeeds generate -m m.safetensors -t 1 --from a.$ending -o b.png
        same_bytes a.png b.png
    done
    mv a.png noending
    succeeds generate -m m.safetensors -t 1 --from noending -o c.png
    same_bytes noending c.png
}
situation other-formats "settings inside JPEG and WebP, and a file whose name says nothing" other_formats

refined() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 3 --depth 1 --bridge 1 -o a.png --tokens-out a.safetensors
    succeeds generate -m m.safetensors -t 1 --refine a.png --depth 3 --keep-scales 2 -o b.png --tokens-out b.safetensors
    other_picture a.png b.png
    succeeds generate -m m.safetensors -t 1 --refine a.png --keep-scales 3 --depth 3 -o c.png
    same_picture a.png c.png # all scales kept: nothing is left to refine
    succeeds generate -m m.safetensors -t 1 --from b.png -o d.png
    same_bytes b.png d.png # the refined picture says what it began with
    succeeds decode -m m.safetensors a.safetensors -o e.png
}
situation refined "late scales again at more depth; what comes can itself be made again" refined

another_class() {
    tiny_model m.safetensors 4
    succeeds generate -m m.safetensors -t 1 -s 9 --class 1 -o a.png
    succeeds generate -m m.safetensors -t 1 --from a.png --class 3 --keep-scales 1 -o b.png
    succeeds generate -m m.safetensors -t 1 --from a.png --class 3 --keep-scales 2 -o c.png
    succeeds generate -m m.safetensors -t 1 --from a.png --class 3 -o d.png
    other_picture b.png d.png
    other_picture b.png c.png
    grep -a -q '"label":3,' b.png || fault "b.png is not of class 3"
}
situation another-class "the same seed, another class from a scale on: an edit of a picture" another_class

varied() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 9 --first 4 -o a.png
    succeeds generate -m m.safetensors -t 1 --vary a.png -n 3 --keep-scales 1 --batch 2 -o v.png
    [ -e v_05.png ] && [ -e v_07.png ] && [ ! -e v_04.png ] || fault "names: $(ls)"
    other_picture v_05.png v_06.png
    succeeds generate -m m.safetensors -t 1 --vary a.png --keep-scales 1 -s 77 -n 2 -o w.png
    succeeds generate -m m.safetensors -t 1 --from w_05.png -o x.png
    same_bytes w_05.png x.png
}
situation varied "variations of a picture: new numbers for its late scales" varied

from_tokens() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 2 -n 3 -o a.png --tokens-out a.safetensors
    succeeds generate -m m.safetensors -t 1 --tokens-in a.safetensors --keep-scales 3 --batch 2 -o b.png
    for i in 00 01 02; do same_picture a_$i.png b_$i.png; done
    succeeds generate -m m.safetensors -t 1 --tokens-in a.safetensors --keep-scales 3 --first 1 -n 1 -o c.png
    same_picture a_01.png c.png
    succeeds generate -m m.safetensors -t 1 --tokens-in a.safetensors --keep-scales 1 --class 0 -n 5 -o d.png
    [ -e d_04.png ] || fault "not five pictures"
    refuses 1 generate -m m.safetensors --tokens-in m.safetensors -o e.png
    says 'has no tensor "tokens"'
    [ ! -e e.png ] || fault "a picture was written"
}
situation from-tokens "the first scales are given in a file, the rest is drawn" from_tokens

not_ours() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -o a.png
    succeeds generate -m m.safetensors -t 1 -o t.png --tokens-out t.safetensors
    succeeds decode -m m.safetensors t.safetensors -o plain.png
    refuses 1 generate -m m.safetensors --refine plain.png -o b.png
    says "plain.png.*does not say what made it"
    refuses 1 generate -m m.safetensors --from m.safetensors -o b.png
    says "expected a PNG, JPEG or WebP"
    refuses 1 generate -m m.safetensors --vary missing.png -o b.png
    says "missing.png"
    cat >tiny.json <<'JSON'
{"seed": "other", "depth": 3, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
    succeeds synth tiny.json -o other.safetensors
    refuses 1 generate -m other.safetensors --from a.png -o b.png
    says "was made by the model"
    [ ! -e b.png ] || fault "a picture was written"
}
situation not-ours "pictures without settings, of another model, and files that are none: one line, nothing written" not_ours

# with_settings IN OUT KEY VALUE: the PNG with another value in its settings.
with_settings() {
    python3 - "$@" <<'PY'
import json, struct, sys, zlib
source, target, key, value = sys.argv[1:]
data, at = open(source, "rb").read(), 8
out = data[:8]
while at < len(data):
    length, = struct.unpack(">I", data[at:at + 4])
    kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
    if body.startswith(b"variant\0"):
        settings = json.loads(body[body.index(b"{"):])
        settings[key] = json.loads(value)
        kind, body = b"tEXt", b"variant\0" + json.dumps(settings).encode()
    out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    at += 12 + length
open(target, "wb").write(out)
PY
}

damaged() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -o a.png
    local n=0
    while read -r key value; do
        with_settings a.png d.png "$key" "$value"
        refuses 1 generate -m m.safetensors -t 1 --from d.png -o b.png
        says "d.png.*${key%_layers}" # the picture is at fault, not what was typed
        n=$((n + 1))
    done <<'LIST'
model "two\nlines"
layers "0;0"
layers "9"
layers "0-2;0-2;0-99999999999999"
uncond_layers "0;;"
weights "f64"
kv "int4"
label 4
label 1.5
seed "18446744073709551616"
seed 3
image -1
top_k 1e99
top_p []
cfg_scale "1"
cfg_scales [1, 2]
cfg_scales [1, 2, 1e300]
scales 4
given_scales 9
given_tokens [1]
greedy 1
uncond_layers 5
edit 5
edit {"picture": "0123456789abcdef"}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "grow": 2.5}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "feather": 1e300}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "outpaint": [1e300, 0, 0, 0]}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "outpaint": [1, 2]}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "codes": 1}
edit {"picture": "0123456789abcdef", "mask": "0123456789abcdef", "keep": "1"}
LIST
    [ $n -eq 30 ] || fault "$n kinds of damage"
    with_settings a.png d.png given_scales 1
    with_settings d.png e.png given_tokens "[0.5]"
    refuses 1 generate -m m.safetensors -t 1 --from e.png -o b.png
    says "e.png.*given_tokens"
    [ ! -e b.png ] || fault "a picture was written"
}
situation damaged "settings that somebody changed: one line that names the picture and the place" damaged

another_depth_for_it() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 --layers "0-2;0,2;1" -o a.png
    succeeds generate -m m.safetensors -t 1 --from a.png --compare 1,3 -o sheet.png
    succeeds generate -m m.safetensors -t 1 --from a.png --quality high -o b.png
    succeeds generate -m m.safetensors -t 1 --from a.png --depth 3 -o c.png
    same_picture b.png c.png
    succeeds generate -m m.safetensors -t 1 -s 3 --top-p 0.0000001 -o p.png
    succeeds generate -m m.safetensors -t 1 --from p.png -o q.png
    same_bytes p.png q.png # not off, which a top-p of 0 would be
    succeeds generate -m m.safetensors -t 1 --scales 2 --save-scales steps -o s.png
    [ "$(ls steps)" = "$(printf '00_scale_01.png\n00_scale_02.png')" ] || fault "steps of scales that were not drawn: $(ls steps)"
    same_picture s.png steps/00_scale_02.png
}
situation another-depth "a picture again at depths that a list or a budget chooses; scales that were drawn, and no others" another_depth_for_it

# guided_supernet FILE [GUIDANCE]: tiny_model with a file that calls it a supernet and tells a factor of guidance for each depth,
# or whatever JSON is given.
guided_supernet() {
    tiny_model "$1"
    python3 - "$@" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
for key, value in header["__metadata__"].items():
    if '"tokenizer"' in value:
        config = json.loads(value)
        config["supernet"] = {"bridge": 1, "depths": [2, 1], "layers": "equidistant",
                              "guidance": {"uncond_depth": 1, "late": "3:1.5,2:4"}}
        if len(sys.argv) > 2: config["supernet"]["guidance"] = json.loads(sys.argv[2])
        header["__metadata__"][key] = json.dumps(config)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + length:])
PY
}

factors() {
    guided_supernet m.safetensors
    for depth in 2 3; do succeeds generate -m m.safetensors -t 1 -s 3 --depth $depth -o $depth.png; done
    grep -a -q '"cfg_late":4,' 2.png || fault "the file's factor is not taken"
    succeeds generate -m m.safetensors -t 1 --from 2.png --depth 3 -o a.png
    same_bytes a.png 3.png
    succeeds generate -m m.safetensors -t 1 -s 3 --depths 3,3,2 -o mixed.png # 1.5, then 4
    succeeds generate -m m.safetensors -t 1 --from mixed.png -o b.png
    same_bytes mixed.png b.png
    succeeds generate -m m.safetensors -t 1 --from mixed.png --depth 2 -o c.png
    same_bytes c.png 2.png
    for told in 5 0; do # by the line, and so at other depths as well
        succeeds generate -m m.safetensors -t 1 -s 3 --depth 2 --cfg-late $told -o told.png
        succeeds generate -m m.safetensors -t 1 --from told.png -o d.png
        same_bytes told.png d.png
        succeeds generate -m m.safetensors -t 1 --from told.png --depth 3 -o e.png
        succeeds generate -m m.safetensors -t 1 -s 3 --depth 3 --cfg-late $told -o f.png
        same_bytes e.png f.png
    done
    for none in "--cfg-scales 0,0,0" "--cfg-scale 0" "--cfg-scale 0 --cfg-late 2"; do
        succeeds generate -m m.safetensors -t 1 -s 3 --depth 2 $none -o g.png
        succeeds generate -m m.safetensors -t 1 --from g.png -o h.png
        same_bytes g.png h.png
    done
}
situation factors "guidance as the model tells it is that of another depth where a picture is made again at one; what was asked for stays" factors

damaged_guidance() {
    local n=0
    for guidance in 5 '[]' '"late"' '{"uncond_depth": 0}' '{"uncond_depth": "2"}' '{"late": 5}' '{"late": "2:1,2:3"}' '{"late": "1:nan"}'; do
        guided_supernet m.safetensors "$guidance"
        refuses 1 generate -m m.safetensors -t 1 -o a.png
        says "m.safetensors: metadata.*guidance"
        n=$((n + 1))
    done
    [ $n -eq 8 ] && [ ! -e a.png ] || fault "$n kinds of damage, $(ls)"
}
situation damaged-guidance "a file whose guidance is none: one line, nothing written" damaged_guidance

# supernet_of FILE JSON: tiny_model with a file that calls it such a supernet.
supernet_of() {
    guided_supernet "$1"
    python3 - "$@" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
config = json.loads(header["__metadata__"]["variant.config"])
config["supernet"].update(json.loads(sys.argv[2]))
header["__metadata__"]["variant.config"] = json.dumps(config)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + length:])
PY
}

depths_of_another() {
    local n=0
    while read -r json; do
        supernet_of m.safetensors "$json"
        refuses 1 generate -m m.safetensors -t 1 -o a.png
        says "m.safetensors: metadata.*supernet.*(names [0-9]+ layers, this transformer has 3|bridge is .*expected 0 to the 3 scales)"
        refuses 1 inspect m.safetensors
        n=$((n + 1))
    done <<'LIST'
{"guidance": {"uncond_depth": 4}}
{"guidance": {"late": "4:2"}}
{"guidance": {"uncond_depth": 1, "late": "2:4,3:2,12:2.2"}}
{"depths": [6, 3, 2]}
{"bridge": 4}
{"bridge": -1}
LIST
    [ $n -eq 6 ] && [ ! -e a.png ] || fault "$n files, $(ls)"
    supernet_of m.safetensors '{"layers": "evenly"}' # whose layers are not known must not be drawn with others
    refuses 1 generate -m m.safetensors -t 1 -o a.png
    says "m.safetensors: metadata.*layers that are equidistant, rounded, prefix or explicit"
    supernet_of m.safetensors '{"guidance": {"uncond_depth": 3, "late": "3:2"}, "bridge": 3, "depths": [3]}'
    succeeds generate -m m.safetensors -t 1 -o a.png
}
situation depths-of-another "a file whose supernet names layers or scales that its transformer has not: one line" depths_of_another

no_late() {
    guided_supernet m.safetensors
    succeeds generate -m m.safetensors -t 1 --cfg-late 2 --uncond-depth 0 -o a.png
    says "generate: warning: --cfg-late changes nothing: with --uncond-depth 0"
    succeeds generate -m m.safetensors -t 1 --cfg-late 2 --cfg-scale 0 -o a.png
    says "--cfg-late changes nothing: there is no guidance"
    for some in "--cfg-late 2" "--cfg-late 2 --uncond-depth 1" "--uncond-depth 0" "--cfg-late 2 --uncond-depths 3,1,1"; do
        succeeds generate -m m.safetensors -t 1 $some -o a.png
        is_silent_on "cfg-late changes nothing"
    done
}
situation no-late "a factor on guidance where nothing would take it: one line says so" no_late

pictures_for_tokens() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -o a.png
    succeeds generate -m m.safetensors -t 1 -o a.jpg
    printf '%%PDF-1.4 x' >a.pdf
    for file in a.png a.jpg a.pdf; do
        refuses 1 generate -m m.safetensors -t 1 --tokens-in $file -o b.png
        says "$file: is a .*, expected a file of tokens, as .variant encode. writes them"
        refuses 1 decode -m m.safetensors $file -o b.png
        says "expected a file of tokens"
    done
    refuses 1 generate -m m.safetensors -t 1 --tokens-in none.safetensors -o b.png
    says "none.safetensors: cannot open: No such file"
    refuses 1 generate -m m.safetensors -t 1 --tokens-in m.safetensors -o b.png
    says "has no tensor .tokens."
    [ ! -e b.png ] || fault "a picture was written"
}
situation pictures-for-tokens "a picture where a file of tokens is asked for: what it is, and what is wanted" pictures_for_tokens

drawn_depths() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 --scales 2 --depth 1 --bridge 1 -o a.png
    says "^depths +3,1$"
    succeeds generate -m m.safetensors -t 1 --scales 2 --depth 1 --bridge 1 --uncond-depth 2 -o a.png --json
    python3 -c 'import json; r = json.load(open("out.txt")); assert r["depths"] == "3,1" and r["uncond_depths"] == "3,2" and len(r["scales"]) == 2, r' ||
        fault "$(cat out.txt)"
    succeeds generate -m m.safetensors -t 1 --from a.png --scales 3 -o b.png # what the settings say is whole
    says "^depths +3,1,1$"
}
situation drawn-depths "a draft of few scales tells the layers of those, and of no others" drawn_depths

what_goes_together() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -o a.png
    refuses 2 generate -m m.safetensors --from a.png --vary a.png
    refuses 2 generate -m m.safetensors --keep-scales 2
    refuses 2 generate -m m.safetensors --refine a.png -n 2
    says "--count is for --vary"
    refuses 2 generate -m m.safetensors --from a.png --keep-scales 4
    says "this model has 3 scales"
    refuses 2 generate -m m.safetensors --scales 4
    refuses 2 generate -m m.safetensors --scales 0
    refuses 2 generate -m m.safetensors --cfg-scales 1,2,3 --cfg-scale 1
    refuses 2 generate -m m.safetensors --cfg-scales 1,2
    says "this model has 3 scales"
    refuses 2 generate -m m.safetensors --cfg-scales 1,-2,3
    refuses 2 generate -m m.safetensors --uncond-depth 1 --uncond-depths 1,1,1
    refuses 2 generate -m m.safetensors --uncond-depth 4 -o b.png
    [ ! -e b.png ] || fault "a picture was written"
}
situation what-goes-together "options that contradict each other, and numbers of another model" what_goes_together

early_scales() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 4 --save-scales scales -o a.png
    for k in 1 2; do
        succeeds generate -m m.safetensors -t 1 -s 4 --scales $k -o b.png
        same_picture b.png scales/00_scale_0$k.png
    done
    succeeds generate -m m.safetensors -t 1 -s 4 --scales 3 -o c.png
    same_bytes a.png c.png
}
situation early-scales "a rough picture of the first scales alone" early_scales

guidance_by_scale() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 2 -o a.png
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scales 0,1,2 -o b.png
    same_picture a.png b.png # the ramp, written out
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scales 0,0,0 -o c.png
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 0 -o d.png
    same_picture c.png d.png
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 2 --uncond-depth 3 -o e.png
    same_picture a.png e.png # as deep as the other branch
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 2 --uncond-depth 1 --bridge 1 -o f.png
    says "^uncond  *3,1,1$"
    other_picture a.png f.png
    says "unconditional branch"
    # told for every scale, it needs no bridge, and the other branch may have one
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 2 --uncond-depths 3,1,1 --depth 3 --bridge 1 -o g.png
    same_picture f.png g.png
    succeeds generate -m m.safetensors -t 1 -s 4 --cfg-scale 2 --uncond-layers "0-2;0;0" --bridge 1 -o h.png
    same_picture f.png h.png
    # where the depth is chosen, layers of every scale cannot be told for the other branch either
    refuses 2 generate -m m.safetensors -t 1 --quality fast --uncond-depths 1,1,1 -o i.png
    says "give --uncond-depth"
    succeeds generate -m m.safetensors -t 1 --quality fast --uncond-depth 1 -o i.png
}
situation guidance-by-scale "guidance told for each scale, and a shallow unconditional branch, with a warning where nobody trained it" guidance_by_scale

situations_end
