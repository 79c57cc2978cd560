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
    refuses 2 generate -m m.safetensors --class 3,,1
    says "empty"
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
    says "0 \(default\): all"
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

situations_end
