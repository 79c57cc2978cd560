#!/usr/bin/env bash
# Situations of drawing: classes as people name them, picture files as they ask for them, what a run leaves that is stopped or fails.
#   tests/situations/generate.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# named_model FILE NAME...: a tiny model whose classes have these names.
named_model() {
    local file=$1
    shift
    tiny_model bare.safetensors $#
    printf '%s\n' "$@" >names.txt
    "$variant" convert bare.safetensors --classes names.txt -o "$file" >/dev/null || fault "no model with names"
}
# draws LABEL ARGUMENTS...: generate succeeds and x.png is of this class.
draws() {
    local label=$1
    shift
    rm -f x.png
    succeeds generate -m m.safetensors -t 1 -o x.png "$@"
    grep -a -q "\"label\":$label," x.png || fault "not class $label: $*: $(grep -a -o '"label":[0-9]*' x.png)"
}
labels() { for file in "$@"; do grep -a -o '"label":[0-9]*' "$file" | cut -d: -f2; done | tr '\n' ' '; }

names_by_case() {
    named_model m.safetensors Cat bee cat Dog
    draws 2 --class cat
    draws 0 --class Cat
    draws 1 --class BEE
    draws 3 --class dog
    refuses 2 generate -m m.safetensors --class CAT
    says "Cat \(0\), cat \(2\)"
}
situation names-by-case "two classes that differ in case only: the one as written; in other letters both are named" names_by_case

names_are_numbers() {
    named_model m.safetensors 2 zero 10 random
    draws 0 --class 2
    draws 2 --class 10
    draws 1 --class 1
    draws 3 --class 3
    refuses 2 generate -m m.safetensors --class 4
    refuses 2 generate -m m.safetensors --class 1.5
    refuses 2 generate -m m.safetensors --class " "
}
situation names-are-numbers "folders called by numbers: the name as written comes before the label" names_are_numbers

list_of_classes() {
    named_model m.safetensors Cat bee cat Dog
    succeeds generate -m m.safetensors -t 1 -n 5 --class 3,bee,2 -o a.png
    [ "$(labels a_0?.png)" = "3 1 2 3 1 " ] || fault "labels $(labels a_0?.png)"
    succeeds generate -m m.safetensors -t 1 -n 5 --class 3 --class bee --class "2" -o b.png
    [ "$(labels b_0?.png)" = "3 1 2 3 1 " ] || fault "of several --class: labels $(labels b_0?.png)"
    succeeds generate -m m.safetensors -t 1 -n 3 --class "Dog , uncond,dog" -o c.png
    [ "$(labels c_0?.png)" = "3 4 3 " ] || fault "with blanks: labels $(labels c_0?.png)"
    succeeds generate -m m.safetensors -t 1 --class 3,bee -o d.png
    [ "$(labels d_0?.png)" = "3 1 " ] || fault "without -n: labels $(labels d_0?.png)"
    succeeds generate -m m.safetensors -t 1 --class 3,bee -n 1 -o e.png
    [ "$(labels e.png)" = "3 " ] || fault "with -n 1: labels $(labels e.png)"
    refuses 2 generate -m m.safetensors --class 3,bee -o -
    refuses 2 generate -m m.safetensors --class 3,,1
    says '"3,,1".*empty'
    refuses 2 generate -m m.safetensors --class 3,bees
    says "no class .bees.*bee"
    refuses 2 generate -m m.safetensors --class random,3
    says "stands alone"
}
situation list-of-classes "several classes between commas, or --class several times: one after another" list_of_classes

names_with_commas() {
    named_model m.safetensors "tench, Tinca tinca" tench "a,b" b
    draws 0 --class "tench, Tinca tinca"
    draws 0 --class "TENCH, tinca TINCA"
    draws 2 --class a,b
    succeeds generate -m m.safetensors -t 1 -n 4 --class "b,tench, Tinca tinca,tench,a,b" -o x.png
    [ "$(labels x_0?.png)" = "3 0 1 2 " ] || fault "labels $(labels x_0?.png)"
}
situation names-with-commas "class names that have commas: whole names are seen before a list is" names_with_commas

from_the_middle() {
    named_model m.safetensors Cat bee cat Dog
    succeeds generate -m m.safetensors -t 1 -n 6 --class all -s 9 -o all.png
    succeeds generate -m m.safetensors -t 1 -n 2 --first 3 --class all -s 9 -o part.png
    same_bytes all_03.png part_03.png
    same_bytes all_04.png part_04.png
    succeeds generate -m m.safetensors -t 1 --first 5 --class all -s 9 -o one.png --batch 1
    same_bytes all_05.png one.png
    refuses 2 generate -m m.safetensors --first -1
    says "first -1: expected a whole number from 0"
}
situation from-the-middle "only picture 5 of a seed, or 3 and 4: the bytes of the whole run" from_the_middle

random_seed() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s -1 -o a.png
    seed=$(sed -n 's/^seed *//p' out.txt)
    [ "${#seed}" -ge 1 ] || fault "the seed is not printed"
    grep -a -q "\"seed\":\"$seed\"" a.png || fault "the picture has another seed than $seed"
    succeeds generate -m m.safetensors -t 1 -s "$seed" -o b.png
    same_bytes a.png b.png
    succeeds generate -m m.safetensors -t 1 -s random -o c.png
    other_bytes a.png c.png
    refuses 2 generate -m m.safetensors -s -2
    says "from 0 to 18446744073709551615, or -1"
}
situation random-seed "-s -1 as in other programs: a seed of its own each time, printed, and it makes the same picture again" random_seed

depth_zero() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 --depth 0 -o a.png
    succeeds generate -m m.safetensors -t 1 -o b.png
    same_bytes a.png b.png
    succeeds generate --help
    says "0: all \(default 0\)"
}
situation depth-zero "--depth 0 is all layers, as the help says" depth_zero

greedy_and_smooth() {
    tiny_model m.safetensors
    for command in generate eval "sweep -o s"; do
        # shellcheck disable=SC2086
        refuses 2 $command -m m.safetensors --greedy --smooth
        says "greedy.*smooth"
    done
    [ ! -e out.png ] || fault "a picture was written"
    succeeds generate -m m.safetensors -t 1 --greedy -s 1 --class 1 -o a.png
    succeeds generate -m m.safetensors -t 1 --greedy -s 2 --class 1 -o b.png
    python3 -c "
import sys
from inputs import png_pixels
sys.exit(png_pixels('a.png') != png_pixels('b.png'))" || fault "greedy pictures differ by the seed"
}
situation greedy-and-smooth "--greedy with --smooth: one takes the likeliest, the other mixes at random; and greedy alone has no chance in it" greedy_and_smooth

contradictions() {
    tiny_model m.safetensors
    refuses 2 generate -m m.safetensors --depth 2 --depths 3,3,2
    says "depth"
    refuses 2 generate -m m.safetensors --depth 2 --quality fast
    refuses 2 generate -m m.safetensors --zoom 3
    says "zoom is for a sheet"
    refuses 2 generate -m m.safetensors --compare 3,1 --depth 2
    succeeds generate -m m.safetensors -t 1 -n 3 -n 1 --depth 2 --depth 3 -o last.png
    grep -a -q '"depths":"3,3,3"' last.png || fault "not the last --depth"
}
situation contradictions "options that say two things are refused; of one option given twice the last counts" contradictions

# is KIND FILE...: by content, whatever the name.
is() {
    local kind=$1
    shift
    for file in "$@"; do
        [ "$(python3 -c "import inputs; print(inputs.kind('$file'))")" = "$kind" ] || fault "$file is no $kind"
    done
}
no_leftovers() {
    local left
    left=$(ls ./*.tmp 2>/dev/null)
    [ -z "$left" ] || fault "left behind: $left"
}

ending_decides() {
    named_model m.safetensors Katze Hünd
    for name in x.png x.jpg y.JPEG z.webp; do succeeds generate -m m.safetensors -t 1 -s 3 --class hünd -o $name; done
    is PNG x.png
    is JPEG x.jpg y.JPEG
    is WEBP z.webp
    python3 - <<'PY' || fault "settings or frame of x.jpg or z.webp"
import json
import inputs
told = json.loads(dict(inputs.png_chunks("x.png"))[b"iTXt"].split(b"\0", 5)[-1].decode())
assert told["class"] == "Hünd" and told["seed"] == "3"
for name in ("x.jpg", "z.webp"):
    assert json.loads(inputs.exif_comment(name)) == told, name
assert inputs.jpeg_size("x.jpg") == (8, 8, 3, 0x11)
PY
    succeeds generate -m m.safetensors -t 1 -n 3 -o several_%03d.jpg
    is JPEG several_000.jpg several_002.jpg
    succeeds generate -m m.safetensors -t 1 -n 3 --grid -o sheet.webp
    is WEBP sheet.webp
    succeeds generate -m m.safetensors -t 1 --file-quality 20 -o low.jpg
    succeeds generate -m m.safetensors -t 1 -o high.jpg
    [ "$(stat -c %s low.jpg)" -lt "$(stat -c %s high.jpg)" ] || fault "quality 20 is not smaller"
    refuses 2 generate -m m.safetensors --file-quality 101
    no_leftovers
}
situation ending-decides "out.jpg is a JPEG and out.webp a WebP, with all colours' samples and the settings inside" ending_decides

lossless_webp() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -n 1 --class 1 -o a.webp --tokens-out t.safetensors
    succeeds generate -m m.safetensors -t 1 -n 1 --class 1 -o a.png
    succeeds encode -m m.safetensors a.webp -t 1 -o of_webp.safetensors
    succeeds encode -m m.safetensors a.png -t 1 -o of_png.safetensors
    python3 -c "
import sys, inputs
sys.exit(inputs.Safetensors('of_webp.safetensors').data != inputs.Safetensors('of_png.safetensors').data)" || fault "another picture"
}
situation lossless-webp "a WebP without more words loses nothing: it reads back as the PNG does" lossless_webp

names_of_other_days() {
    named_model bare.safetensors eins zwei
    printf 'eins\nH\374nd\n\303\244\n' >latin1.txt
    tiny_model three.safetensors 3
    succeeds convert three.safetensors --classes latin1.txt -o m.safetensors
    for name in x.png x.jpg x.webp; do succeeds generate -m m.safetensors -t 1 --class 1 -o $name; done
    python3 - <<'PY' || fault "the settings are not readable"
import json
import inputs
assert json.loads(inputs.exif_comment("x.jpg"))["class"] == "H%FCnd"
assert json.loads(inputs.exif_comment("x.webp"))["class"] == "H%FCnd"
PY
}
situation names-of-other-days "a class whose name is no UTF-8: its pictures are written, with readable settings" names_of_other_days

other_endings() {
    tiny_model m.safetensors
    succeeds encode -m m.safetensors -o t.safetensors "$(python3 -c "import inputs; inputs.picture('p.png'); print('p.png')")"
    for name in x.gif x.tiff x.jpg.bak x .png x.jpgg; do
        refuses 2 generate -m m.safetensors -o $name
        says "expected a picture's name that ends in .png, .jpg, .jpeg or .webp"
        refuses 2 generate -m m.safetensors -n 2 --grid -o $name
        refuses 2 decode -m m.safetensors t.safetensors -o $name
        refuses 2 reconstruct -m m.safetensors p.png -o $name
        [ ! -e $name ] || fault "$name was written"
    done
    succeeds decode -m m.safetensors t.safetensors -o d.jpg
    succeeds reconstruct -m m.safetensors p.png -o r.webp
    is JPEG d.jpg
    is WEBP r.webp
}
situation other-endings "names that end otherwise are refused before anything is computed, with the list, in every command that writes pictures" other_endings

to_the_pipe() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 -s 4 -o a.png
    "$variant" generate -m m.safetensors -t 1 -s 4 -o - >piped.png 2>report.txt || fault "status $?"
    same_bytes a.png piped.png
    grep -q '^depths' report.txt || fault "the report is not on stderr"
    "$variant" generate -m m.safetensors -t 1 -s 4 -o - --json 2>report.txt | cat >piped.png
    same_bytes a.png piped.png
    python3 -c "import json; json.load(open('report.txt'))" || fault "no JSON on stderr"
    "$variant" generate -m m.safetensors -t 1 -s 4 -o /dev/stdout >piped.png 2>report.txt
    same_bytes a.png piped.png
    refuses 2 generate -m m.safetensors -n 2 -o -
    says "takes one picture"
    succeeds generate -m m.safetensors -t 1 -n 2 -o - --grid
    is PNG out.txt
    "$variant" reconstruct -m m.safetensors a.png -t 1 -o - >sheet.png 2>report.txt || fault "reconstruct: status $?"
    is PNG sheet.png
    grep -q 'dB' report.txt || fault "no report of reconstruct on stderr"
    [ -L /dev/stdout ] || fault "/dev/stdout was replaced"
}
situation to-the-pipe "-o - is the standard output: nothing but the picture there, the report on stderr" to_the_pipe

behind_a_link() {
    tiny_model m.safetensors
    mkdir real
    : >real/x.png
    ln -s real/x.png x.png
    succeeds generate -m m.safetensors -t 1 -o x.png
    [ -L x.png ] || fault "the link became a file"
    is PNG real/x.png
}
situation behind-a-link "a name that is a link: the file behind it is written, the link stays" behind_a_link

full_disk() {
    tiny_model m.safetensors
    for name in x.png x.jpg x.webp; do
        code=0
        told=$( (ulimit -f 0; "$variant" generate -m m.safetensors -t 1 -o $name) 2>&1) || code=$?
        echo "$told" >err.txt
        [ $code -eq 1 ] || fault "$name: status $code"
        says "$name: .*(write|large)"
        [ ! -e $name ] || fault "half of $name was left"
    done
    no_leftovers
    refuses 1 generate -m m.safetensors -t 1 -o /dev/full
    says "No space left"
}
situation full-disk "no room for the picture: a line with its name, and no half of it" full_disk

one_numbered() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 --first 7 -o one_%03d.png
    says "wrote +one_007.png"
    [ -e one_007.png ] || fault "no one_007.png"
}
situation one-numbered "one picture to a name with a number in it: the report names the file that was written" one_numbered

compared_json() {
    tiny_model m.safetensors
    succeeds generate -m m.safetensors -t 1 --compare 3,2,1 -n 2 --json -o c.png
    python3 -c 'import json
rows = json.load(open("out.txt"))
assert [row["depths"] for row in rows] == ["3,3,3", "3,3,2", "3,3,1"], rows' || fault "not one list of three reports"
}
situation compared-json "--compare with --json: one JSON list, a report a depth" compared_json

tokens_over_others() {
    tiny_model m.safetensors
    cp m.safetensors kept
    ln -s m.safetensors link.safetensors
    for name in m.safetensors ./m.safetensors link.safetensors; do
        refuses 2 generate -m m.safetensors -t 1 --tokens-out $name -o x.png
        says "$name: that is the model"
    done
    same_bytes m.safetensors kept
    refuses 2 generate -m m.safetensors -t 1 --tokens-out x.png -o x.png
    says "that is the picture"
    [ ! -e x.png ] || fault "x.png was written"
    succeeds generate -m m.safetensors -t 1 --tokens-out t.safetensors -o x.png
}
situation tokens-over-others "--tokens-out with the name of the model, or of the picture: refused before anything is drawn" tokens_over_others

# slow_model FILE: one that draws for seconds: 32x32 tokens through 8 layers.
slow_model() {
    echo '{"seed": "S", "depth": 8, "width": 256, "heads": 4, "V": 64, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 4, 8, 16],
        "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}' >slow.json
    "$variant" synth slow.json -o "$1" >/dev/null || fault "no synthetic model"
}

stopped_half_way() {
    slow_model m.safetensors
    "$variant" generate -m m.safetensors -t 1 -n 400 --batch 1 -s 6 --class all -o s_%03d.png >out.txt 2>err.txt &
    local pid=$! tries=0
    until [ -e s_002.png ]; do
        sleep 0.05
        tries=$((tries + 1))
        [ $tries -lt 2000 ] || fault "no third picture within 100 s"
    done
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ $code -eq 130 ] || fault "status $code"
    written=$(ls s_*.png | wc -l)
    says "stopped, $written of 400 pictures are written; the others: --first $written -n $((400 - written))"
    [ "$written" -lt 400 ] || fault "it was too fast to be stopped"
    python3 -c "
import glob, inputs
for name in glob.glob('s_*.png'): inputs.png_chunks(name)" || fault "a picture is broken"
    no_leftovers
    succeeds generate -m m.safetensors -t 1 -n 1 --first "$written" -s 6 --class all -o s_%03d.png
    succeeds generate -m m.safetensors -t 1 -n 3 -s 6 --class all -o again_%03d.png
    same_bytes s_002.png again_002.png
}
situation stopped-half-way "Ctrl-C after some pictures: those stay whole, status 130, and the line says how the rest is made" stopped_half_way

stopped_sheet() {
    slow_model m.safetensors
    "$variant" generate -m m.safetensors -t 1 -n 400 --grid --batch 2 --progress -o sheet.png >out.txt 2>err.txt &
    local pid=$! tries=0
    until grep -q "of 400 pictures" err.txt; do
        sleep 0.05
        tries=$((tries + 1))
        [ $tries -lt 2000 ] || fault "no progress within 100 s"
    done
    kill -TERM $pid
    code=0
    wait $pid || code=$?
    [ $code -eq 143 ] || fault "status $code"
    says "of 400 pictures: no sheet was written"
    [ ! -e sheet.png ] || fault "a sheet was written"
    no_leftovers
}
situation stopped-sheet "SIGTERM while a sheet is drawn: status 143 and no half sheet; --progress tells on stderr without a terminal" stopped_sheet

# overflowing FILE TENSOR FROM COUNT: m.safetensors with finite numbers in the tensor whose products are none.
overflowing() {
    python3 -c "
import inputs
model = inputs.Safetensors('m.safetensors')
for i in range($3, $3 + $4): model.set_number('$2', i, 3e38)
model.write('$1')" || fault "no $2"
}
numbers_that_overflow() {
    local weights
    tiny_model m.safetensors
    overflowing layer.safetensors blocks.1.attn.mat_qkv.weight 8192 4096
    overflowing decoder.safetensors decoder.conv_in.weight 0 64
    overflowing map.safetensors quantize.quant_resi.qresi_ls.0.weight 0 64
    overflowing encoder.safetensors encoder.conv_in.weight 0 64
    overflowing head.safetensors head.weight 0 256
    python3 -c "import inputs; inputs.picture('p.png')"
    for weights in f32 bf16 int8; do
        refuses 1 generate -m layer.safetensors -t 1 -n 2 --weights $weights -o x.png
        says "scale 1 of 3: the logits are not finite.*layer 1"
        refuses 1 generate -m head.safetensors -t 1 -n 2 --weights $weights -o x.png
        says "the logits are not finite.*head"
        refuses 1 generate -m layer.safetensors -t 1 --greedy --weights $weights -o x.png
        refuses 1 generate -m layer.safetensors -t 1 --smooth --weights $weights -o x.png
        refuses 1 generate -m decoder.safetensors -t 1 -n 2 --weights $weights -o x.png
        says "the picture is not finite.*decoder"
        refuses 1 reconstruct -m decoder.safetensors p.png -t 1 --weights $weights -o r.png
        says "not finite.*decoder"
        is_silent_on "dB"
    done
    refuses 1 generate -m map.safetensors -t 1 -o x.png
    says "not finite.*map after scale"
    refuses 1 generate -m layer.safetensors -t 1 --kv int8 -o x.png
    says "layer 1"
    refuses 1 generate -m layer.safetensors -t 1 --backend ref -o x.png
    says "layer 1"
    refuses 1 encode -m encoder.safetensors p.png -t 1 -o t.safetensors
    says "encoder.*not finite"
    [ ! -e t.safetensors ] || fault "tokens were written"
    succeeds encode -m m.safetensors p.png -t 1 -o t.safetensors
    refuses 1 decode -m decoder.safetensors t.safetensors -t 1 -o x.png
    says "not finite"
    refuses 1 sweep -m layer.safetensors -t 1 -o s --repeat 1 --depths 3 --bridges 1
    says "not finite"
    [ ! -e x.png ] && [ ! -e r.png ] || fault "a picture was written"
}
situation numbers-that-overflow "weights that are numbers, products that are none: an error with the stage, never a blank picture" numbers_that_overflow

situations_end
