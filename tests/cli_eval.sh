#!/usr/bin/env bash
# `variant eval`: scores of generated pictures, of folders, of a tokenizer's reconstructions; statistics kept and read again;
# what cannot be measured in one clear line. The network is a classifier of a few steps on pictures of two classes.
#   tests/cli_eval.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
model=$root/models/fashion
says() { grep -qE -- "$1" "${2:-out.txt}" && ok || { bad "no \"$1\""; cat "${2:-out.txt}"; }; }
silent() { ! grep -qE -- "$1" "${2:-out.txt}" && ok || { bad "\"$1\" is said"; cat "${2:-out.txt}"; }; }
scores() { sed -n '/"scores"/,/}/p' "${1:-out.txt}" | grep -E '"(frechet|inception_score|precision|recall|class_share|samples|network_hash)' | tr -d ',\t '; }
number() { grep -E "\"$1\"" out.txt | head -n 1 | grep -oE '[-+0-9.e]+,?$' | tr -d ,; }
between() { # name low high
    awk -v x="$(number "$1")" -v a="$2" -v b="$3" 'BEGIN { exit !(x != "" && x + 0 >= a && x + 0 <= b) }' && ok ||
        { bad "$1 is '$(number "$1")', not $2 to $3"; }
}
refuses() { # status words -- arguments
    local status=$1 words=$2
    shift 3
    "$variant" "$@" >out.txt 2>err.txt
    [ $? -eq "$status" ] && grep -qF -- "$words" err.txt && ok || bad "not refused with \"$words\": $*"
    [ "$status" -eq 2 ] || [ "$(grep -c '^variant ' err.txt)" -eq 1 ] || bad "not one line: $*"
}

# ---- real pictures of two classes, and a network that knows them
for split in train test; do
    for class in Bag Trouser; do
        mkdir -p pictures/$split/$class
        run generate -m "$model" --class $class -n 12 --depth 2 -t 1 -s $([ $split = train ] && echo 1 || echo 2) \
            -o pictures/$split/$class/%02d.png
    done
done
run train classifier --data pictures -o run --channels 1 --mult 1,1 --features 8 --crop 2 --batch 8 --lr 4e-3 --warmup 2 \
    --steps 20 -q -t 1
network=(--features run/classifier.safetensors -t 1)

# ---- generated pictures beside them; kept and read again; the same seed twice
run eval -m "$model" "${network[@]}" --reference pictures --class Bag -n 20 --depth 2 --json --save-reference kept.safetensors
says '"name":[[:space:]]*"FID\(classifier\)"'
says '"inception_score_name":[[:space:]]*"IS\(classifier\)"'
says '"depths":'
silent '"class_share"' # the model has ten classes, the network two
between samples 20 20
between reference_samples 24 24
between frechet 1e-9 1e9
between precision 0 1
if command -v python3 >/dev/null; then python3 -m json.tool <out.txt >/dev/null 2>err.txt && ok || bad "not JSON"; fi
scores >first.txt
[ "$(wc -l <first.txt)" -ge 6 ] && ok || bad "not six scores"
run eval -m "$model" "${network[@]}" --reference kept.safetensors --class Bag -n 20 --depth 2 --json
scores | cmp -s first.txt - && ok || bad "a kept reference gives other scores"
run eval -m "$model" "${network[@]}" --reference kept.safetensors --class Bag -n 20 --depth 2 --json -s 9
scores | cmp -s first.txt - && bad "another seed, the same scores" || ok
run eval -m "$model" "${network[@]}" --reference kept.safetensors -n 20 --depth 2 --json --class all
scores >all.txt
run eval -m "$model" "${network[@]}" --reference kept.safetensors -n 20 --depth 2 --json
scores | cmp -s all.txt - && ok || bad "every class alike is not the default"
run eval -m "$model" "${network[@]}" --reference kept.safetensors -n 20 --depth 2 --json --class random
scores | cmp -s all.txt - && bad "random classes, the same scores" || ok
run eval -m "$model" "${network[@]}" --class Bag -n 20 --depth 2
says '^IS\(classifier\) +[1-2]\.'
says '^of +20 pictures$'
silent FID

# ---- several seeds, another setting beside them
kept=(--reference kept.safetensors --class Bag -n 20)
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 2 --seeds 0,9 --json
says 'seed 9: FID\(classifier\) [0-9]' err.txt
cp out.txt two.json
python3 - two.json first.txt <<'PYTHON' >check.txt 2>&1 && ok || bad "$(cat check.txt)"
import json, sys
two = json.load(open(sys.argv[1]))
first = dict(line.strip().split(":", 1) for line in open(sys.argv[2]))
a, b = [one["scores"] for one in two["seeds"]]
assert [one["seed"] for one in two["seeds"]] == ["0", "9"] and two["settings"]["seeds"] == "0,9"
assert abs(a["frechet"] - float(first['"frechet"'])) < 1e-12, "seed 0 among several is not seed 0 alone"
assert a["frechet"] != b["frechet"]
assert abs(two["scores"]["frechet"] - (a["frechet"] + b["frechet"]) / 2) < 1e-12
assert max(abs(x - y) for x, y in zip(two["range"]["frechet"], sorted([a["frechet"], b["frechet"]]))) < 1e-12
assert abs(two["deviation"]["frechet"] - abs(a["frechet"] - b["frechet"]) / 2 ** 0.5) < 1e-9
PYTHON
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 2 --seeds 0,9 --batch 7
says '^mean of 2 +[0-9]'
says '^range +[0-9.]+ to '
says 'seeds 0,9'
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 2 --seeds 0,9 --batch 7 --json
python3 -c 'import json; a, b = (json.load(open(f))["seeds"] for f in ("two.json", "out.txt")); exit(a != b)' && ok ||
    bad "another batch, other scores"
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 6 --seeds 9 --beside "--depth 2" --json
python3 - out.txt two.json <<'PYTHON' >check.txt 2>&1 && ok || bad "$(cat check.txt)"
import json, sys
one, two = (json.load(open(f)) for f in sys.argv[1:])
assert one["beside"]["seeds"][0] == two["seeds"][1], "the setting beside is not that setting alone"
assert one["beside"]["depths"] == "12,12,12,12,2,2,2" and one["depths"] == "12,12,12,12,6,6,6"
d = one["seeds"][0]["scores"]["frechet"] - one["beside"]["seeds"][0]["scores"]["frechet"]
assert abs(one["pairs"][0]["frechet"] - d) < 1e-12 > abs(d - one["difference"]["frechet"]["mean"]) and d
assert one["difference"]["frechet"]["better"] == (d < 0)
PYTHON
cp out.txt six.json
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 6 --seeds 9 --beside "--decoder preview" --json
cp out.txt decoders.json
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 6 --seeds 9 --decoder preview --json
python3 - decoders.json six.json out.txt <<'PYTHON' >check.txt 2>&1 && ok || bad "$(cat check.txt)"
import json, sys
both, full, small = (json.load(open(f)) for f in sys.argv[1:])
assert both["seeds"][0]["scores"] == full["seeds"][0]["scores"]
assert both["beside"]["seeds"][0]["scores"] == small["seeds"][0]["scores"] != full["seeds"][0]["scores"]
assert both["beside"]["settings"]["decoder"] == "preview" == small["settings"]["decoder"]
PYTHON
run eval -m "$model" "${network[@]}" "${kept[@]}" --depth 6 -s 9 --beside two.json
says '^difference +FID'
says '^mean of 1 +[-+]'
says '^beside .*depths 12,12,12,12,2,2,2'
refuses 2 "no seed in common" -- eval -m "$model" "${network[@]}" "${kept[@]}" -s 4 --beside two.json
refuses 1 "here of 22" -- eval -m "$model" "${network[@]}" "${kept[@]}" -n 22 -s 9 --beside two.json
refuses 1 "not scores" -- eval -m "$model" "${network[@]}" "${kept[@]}" --beside pictures/../run/log.jsonl
refuses 1 "absent.json" -- eval -m "$model" "${network[@]}" "${kept[@]}" --beside absent.json
refuses 2 "unknown option --dpth; did you mean --depth" -- eval -m "$model" "${network[@]}" "${kept[@]}" --beside "--dpth 2"
refuses 2 "--weights cannot differ there" -- eval -m "$model" "${network[@]}" "${kept[@]}" --beside "--depth 2 --weights bf16"
refuses 2 "--beside: depth 99: this model has" -- eval -m "$model" "${network[@]}" "${kept[@]}" --seeds 1-2 --beside "--depth 99"
if grep -q 'seed 1:' err.txt; then bad "a setting beside is refused after a seed was scored"; fi
refuses 2 "--beside \"\": expected" -- eval -m "$model" --beside ""
refuses 2 "give no --seed" -- eval -m "$model" --seeds 1-3 -s 1
refuses 2 "--seeds 3-1: expected 1 to 256 seeds" -- eval -m "$model" --seeds 3-1
refuses 2 "each once" -- eval -m "$model" --seeds 1,1
refuses 2 "of generated pictures" -- eval --pictures pictures --seeds 1-2
# Ctrl-C gives what is finished
"$variant" eval -m "$model" "${network[@]}" --reference kept.safetensors --class Bag -n 400 --depth 2 --seeds 1-200 --json >out.txt 2>err.txt &
pid=$!
for _ in $(seq 600); do grep -q 'seed 1:' err.txt && break; sleep 0.1; done
kill -INT $pid
wait $pid
[ $? -eq 1 ] && ok || bad "stopped, and not exit status 1"
says 'stopped after [0-9]+ of 200 seeds; --seeds [0-9,]+' err.txt
python3 -c 'import json; r = json.load(open("out.txt")); exit(not (r["unfinished"] and r["seeds"][0]["scores"]["samples"] == 400))' && ok ||
    bad "what was finished is not there"

# ---- pictures of folders: with classes, flat, the reference itself
run eval --pictures pictures "${network[@]}" --reference pictures --split train --side 32 --channels 1 --json
between samples 24 24
between frechet 0 1e-5
between precision 1 1
between recall 1 1
between kid -1000 -1e-9 # each has itself on the other side, where it is nearest
between class_share 0.6 1
run eval --pictures pictures/test/Bag "${network[@]}" --reference pictures
says '^FID\(classifier\) +[0-9]'
says '^KID\(classifier\) +[0-9.e-]+$' # one block of 12: no spread
says '^precision .* 12 samples a side'
says '^of +12 pictures against 24 of pictures$'
silent 'in their class'
run eval --pictures pictures/test/Bag "${network[@]}" --reference pictures -n 6
says '^of +6 pictures'
says 'warning: 6 samples for 8 features' err.txt
cp -r pictures other
for split in train test; do mv other/$split/Bag other/$split/Sack; done
run eval --pictures other "${network[@]}" --reference pictures --side 32 --channels 1 --json
says "classes are not the network's" err.txt
silent '"class_share"'

# ---- reconstructions
run eval -m "$model" --reconstruct pictures "${network[@]}" --json
between samples 24 24
between psnr 15 60
between ssim 0.5 1
between class_share 0.5 1
run eval -m "$model" --reconstruct pictures "${network[@]}" --reference kept.safetensors
says '^rFID\(classifier\)'
says '^PSNR .* dB$'

# ---- what cannot be done
refuses 2 "what is judged" -- eval --reference pictures
refuses 2 "not both" -- eval -m "$model" --pictures pictures --reconstruct pictures
refuses 2 "--split" -- eval -m "$model" --split half
refuses 2 "--save-reference needs" -- eval -m "$model" --save-reference x
refuses 2 "--save-reference needs" -- eval -m "$model" --reconstruct pictures --reference kept.safetensors --save-reference x
refuses 2 "which network measures" -- eval --pictures pictures/test/Bag --reference pictures
refuses 1 "absent.safetensors" -- eval --pictures pictures/test/Bag --features absent.safetensors
refuses 1 "not a feature network" -- eval --pictures pictures/test/Bag --features "$model/fashion.safetensors"
refuses 1 "absent: no such folder" -- eval --pictures absent "${network[@]}"
mkdir empty
refuses 1 "empty: no pictures" -- eval --pictures empty "${network[@]}"
run eval --pictures pictures "${network[@]}" --side 32 # channels as the first picture has them
says '^of +48 pictures'
refuses 1 "reference of 32 x 32 pictures" -- eval --pictures pictures/test/Bag --side 24 --channels 1 "${network[@]}" \
    --reference kept.safetensors
refuses 1 "not reference statistics" -- eval --pictures pictures/test/Bag "${network[@]}" --reference run/classifier.safetensors
refuses 1 "mu of 4 features, but the network has 8" -- eval --pictures pictures/test/Bag "${network[@]}" \
    --reference "$root/tests/golden/npz/statistics.npz"
refuses 1 "mu of 64 features, but the network has 8" -- eval --pictures pictures/test/Bag "${network[@]}" --reference "$root/tests/golden/npz/compressed.npz"
head -c 600 "$root/tests/golden/npz/statistics.npz" >torn.npz
refuses 1 "torn.npz: zip archive is damaged" -- eval --pictures pictures/test/Bag "${network[@]}" --reference torn.npz
refuses 1 "absent.npz" -- eval --pictures pictures/test/Bag "${network[@]}" --reference absent.npz
run train classifier --data pictures -o again --channels 1 --mult 1,1 --features 8 --batch 8 --steps 1 -q -t 1
refuses 1 "statistics of the network classifier" -- eval --pictures pictures/test/Bag --features again/classifier.safetensors \
    -t 1 --reference kept.safetensors

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
