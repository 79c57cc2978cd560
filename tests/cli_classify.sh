#!/usr/bin/env bash
# `variant train classifier` and `variant classify`: a classifier of a folder of pictures, its answers as text and JSON, what
# cannot be done in one clear line.
#   tests/cli_classify.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
models=$root/models
says() { grep -qE -- "$1" out.txt && ok || { bad "no \"$1\""; cat out.txt; }; }
refuses() { # status words -- arguments
    local status=$1 words=$2
    shift 3
    "$variant" "$@" >out.txt 2>err.txt
    [ $? -eq "$status" ] && grep -qF -- "$words" err.txt && ok || bad "not refused with \"$words\": $*"
    [ "$status" -eq 2 ] || [ "$(grep -c '^variant ' err.txt)" -eq 1 ] || bad "not one line: $*"
}

# ---- two classes that a network can tell apart: pictures of two labels of the shipped model
for split in train test; do
    for class in Trouser Bag; do
        mkdir -p pictures/$split/$class
        run generate -m "$models/fashion" --class $class -n 8 --depth 2 -s $([ $split = train ] && echo 1 || echo 2) \
            -o pictures/$split/$class/%02d.png
    done
done
small="--channels 1 --mult 1,1 --features 8 --crop 2 --batch 8 --lr 4e-3 --warmup 2"
# shellcheck disable=SC2086
run train classifier --data pictures -o run $small --steps 24 --eval-every 8
[ "$(grep -c '"evaluation":true' run/log.jsonl)" -eq 3 ] && ok || bad "not three evaluations"
run classify -m run --data pictures
says "^1[56] of 16 pictures get their class: "
run classify -m run --data pictures --json
says '"accuracy":[[:space:]]*(1|0.93)'
run classify -m run pictures # all below it
[ "$(grep -c "^pictures/t.*png: " out.txt)" -eq 32 ] && ok || bad "not all pictures below a folder"
run classify -m run/classifier.safetensors pictures/test/Bag --top 1
[ "$(grep -cE '^pictures/test/Bag/[0-9]+.png: Bag (0\.[5-9]|1\.0)' out.txt)" -ge 7 ] && ok || bad "bags are no bags"
run classify -m run pictures/test/Trouser/00.png --json
says '"class":[[:space:]]*"Trouser"'
run classify -m run --data pictures --split train --count 10 --through "$models/fashion"
says "^([89]|10) of 10 pictures get their class: "

# ---- long names with spaces and "&": taken as they are, and the table stays a table
for split in train test; do
    mkdir -p "named/$split/Bags & all that one carries" "named/$split/Legs"
    cp pictures/$split/Bag/*.png "named/$split/Bags & all that one carries"
    cp pictures/$split/Trouser/*.png "named/$split/Legs"
done
# shellcheck disable=SC2086
run train classifier --data named -o named_run $small --steps 2 -q
run classify -m named_run --data named
says "^Bags & all that one carries        8 "
says "^Legs                               8 "

# ---- what cannot be done
refuses 2 "-m is missing" -- classify x.png
refuses 2 "nothing to classify" -- classify -m run
refuses 2 "not both" -- classify -m run --data pictures x.png
refuses 2 "--split" -- classify -m run --data pictures --split half
refuses 1 "absent.png" -- classify -m run absent.png
mkdir empty
refuses 1 "empty: no picture" -- classify -m run empty
refuses 1 "not a feature network" -- classify -m "$models/fashion/fashion.safetensors" x.png
head -c 5000 run/classifier.safetensors >torn.safetensors
refuses 1 "torn.safetensors" -- classify -m torn.safetensors x.png
mv pictures/test/Bag pictures/test/Sack
mv pictures/train/Bag pictures/train/Sack
refuses 1 "Sack" -- classify -m run --data pictures
mkdir -p one/class
cp pictures/test/Trouser/00.png one/class
refuses 1 "at least 2" -- train classifier --data one -o x -q

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
