#!/usr/bin/env bash
# `variant train` end to end on a folder of pictures: the three trainings, generation from the result, broken pictures named and
# counted, a killed run that resumes to the same bytes, and one clear line for what cannot be done.
#   tests/cli_train.sh BUILD_FOLDER
set -uo pipefail
# shellcheck source=cli.sh
. "$(dirname "$0")/cli.sh"
says() { grep -qF -- "$1" err.txt out.txt && ok || bad "no \"$1\""; }
refuses() { # words -- arguments: the last line on stderr is the error, notes on the data may come before it
    local words=$1
    shift 2
    "$variant" train "$@" >out.txt 2>err.txt && bad "did not refuse: $*"
    [ "$(grep -cE '^variant train( [a-z]+)?: ' err.txt)" -eq 1 ] && tail -1 err.txt | grep -qF -- "$words" && ok ||
        bad "not one line with \"$words\": $*"
}

# ---- two classes of noise, a broken picture and a text among them
cat >noise.json <<'JSON'
{"seed": "T", "depth": 2, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 2, "patch_nums": [1, 2, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
run synth noise.json -o noise.safetensors
mkdir -p pictures/left pictures/right
run generate -m noise.safetensors --class 0 -n 12 -o pictures/left/%02d.png
run generate -m noise.safetensors --class 1 -n 12 -o pictures/right/%02d.png
head -c 60 pictures/left/00.png >pictures/left/torn.png
echo "no picture" >pictures/right/words.jpg

# ---- tokenizer, transformer, supernet, pictures
small="--side 8 --sides 1,2,3,4 --mult 1,1 --codes 16 --latent 8"
# shellcheck disable=SC2086
run train tokenizer --data pictures -o tokenizer $small --steps 6 --batch 4
says "torn.png"
says "words.jpg"
says "no test/ folder: 4 of 26 pictures held out by name"
says "20 pictures in 2 classes; 2 broken ones skipped"
# shellcheck disable=SC2086
run train tokenizer --data pictures -o some $small --steps 1 --batch 4 --limit 6
says "6 of 20 pictures in 2 classes"
net="--depth 3 --width 32 --heads 1 --batch 4"
# shellcheck disable=SC2086
run train transformer --data pictures -o transformer --tokenizer tokenizer $net --steps 300 --save-every 10
run train supernet --data pictures -o drawn --model transformer --depths 2,1 --bridge 1-2 --steps 1 --batch 4
run inspect drawn
says "trained for depths 2,1 after 1 to 2 full scales"
run train supernet --data pictures -o supernet --model transformer --depths 2,1 --bridge 1 --steps 6 --batch 4 --on-divergence skip --spike 1.5
run train supernet --data pictures -o default --model transformer --depths 2,1 --steps 6 --batch 4 --log-every 1
grep -q '"step":6,.*"phase":"sandwich".*"distill":2.33333,"distill_kl"' default/log.jsonl && ok || bad "the default is not both paths, distillation moved from 4 to 2"
refuses "bridge 2-3, now it is 1" -- supernet --data pictures -o default --model transformer --depths 2,1 --bridge 1 --steps 6 --batch 4 --resume
run train supernet --data pictures -o steady --model transformer --depths 2,1 --steps 6 --batch 4 --log-every 1 --distill 3
grep -q '"step":6,.*"distill":3,' steady/log.jsonl && ok || bad "--distill alone does not stay"
run train supernet --data pictures -o phases --model transformer --depths 2,1 --bridge 1 --steps 6 --batch 4 --phases --joint-end 1.5 --distill 0 --layers prefix
grep -q '"phase":"joint"' phases/log.jsonl && ! grep -q distill_kl phases/log.jsonl && ok || bad "not the three phases"
run train supernet --data pictures -o guided --model transformer --depths 2,1 --bridge 1 --steps 6 --batch 4 --uncond-train-depth 1 --label-drop 0.3
cmp -s guided/transformer.safetensors supernet/transformer.safetensors && bad "--uncond-train-depth changes nothing" || ok
refuses "now it is 2" -- supernet --data pictures -o guided --model transformer --depths 2,1 --bridge 1 --steps 6 --batch 4 --label-drop 0.3 --uncond-train-depth 2 --resume
refuses "no subnet has so many layers" -- supernet --data pictures -o x --model transformer --depths 2,1 --steps 6 --batch 4 --uncond-train-depth 3
run generate -m supernet --class right --depth 2 -o right.png
[ -s right.png ] && [ ! -s err.txt ] && ok || bad "no picture from the supernet, or a warning"
# of depths 2 and 1 the least that is not 1 guides; what a request that says nothing takes may be kept in the model
run inspect supernet
says "unconditional branch runs 2 layers"
run generate -m supernet --class right --depth 2 -o right.png --json
says '"uncond_depths": "3,1,1,1"' # and 1, which was trained too, where nothing else is fewer
run generate -m supernet --class right -o right.png --json
says '"uncond_depths": "3,2,2,2"'
run generate -m supernet --class right --depth 1 -o right.png --json
says '"uncond_depths": "3,1,1,1"'
run convert supernet -o kept.safetensors --uncond-depth 1 --cfg-late 3:1.5,2:4
run inspect kept.safetensors
says "unconditional branch runs 1 layers in the late scales; --cfg-scale there times 1.5 at depth 3, 4 at depth 2"
run generate -m kept.safetensors --class right -o kept.png --json
says '"uncond_depths": "3,1,1,1"'
"$variant" convert supernet -o kept.safetensors --uncond-depth 3 >out.txt 2>err.txt && bad "an untrained depth was kept"
says "not trained at that depth"
"$variant" convert supernet -o kept.safetensors --cfg-late 99:2 >out.txt 2>err.txt && bad "a factor for a depth that is not there was kept"
says "of at most 3 layers"
"$variant" convert transformer -o plain.safetensors --cfg-late 2 >out.txt 2>err.txt && bad "guidance of no supernet was kept"
says "no supernet"
[ -e plain.safetensors ] && bad "plain.safetensors was left behind"
run generate -m transformer --class right --depth 2 --bridge 1 -o shallow.png
says "no supernet training"
run generate -m phases --class right --depth 2 -o right.png
run generate -m phases --class right --depth 2 --layers prefix -o prefix.png
cmp -s right.png prefix.png && [ ! -s err.txt ] && ok || bad "not the layers it was trained with"
run generate -m phases --class right --depth 2 --layers equidistant -o other.png
cmp -s right.png other.png && bad "equidistant layers are the first ones" || ok
says "not trained with these 2 layers but with prefix ones"

# ---- killed in the middle, taken up again
# shellcheck disable=SC2086
"$variant" train transformer --data pictures -o killed --tokenizer tokenizer $net --steps 300 --save-every 10 >out.txt 2>err.txt &
victim=$!
for _ in $(seq 400); do [ -e killed/checkpoint.safetensors ] && break; sleep 0.02; done
kill -9 $victim 2>/dev/null
wait $victim 2>/dev/null
[ -e killed/checkpoint.safetensors ] && [ ! -e killed/transformer.safetensors ] && ok || bad "was not killed in the middle"
# shellcheck disable=SC2086
run train transformer --data pictures -o killed --tokenizer tokenizer $net --steps 300 --save-every 10 --resume
cmp -s killed/transformer.safetensors transformer/transformer.safetensors && ok || bad "a killed and resumed run differs"

# ---- asked to stop: it saves, says how to go on, and a script sees that it was not done
# shellcheck disable=SC2086
"$variant" train transformer --data pictures -o stopped --tokenizer tokenizer $net --steps 100000 --save-every 10 >out.txt 2>err.txt &
victim=$!
for _ in $(seq 400); do [ -e stopped/checkpoint.safetensors ] && break; sleep 0.02; done
kill -TERM $victim
wait $victim
[ $? = 143 ] && [ -e stopped/checkpoint.safetensors ] && ok || bad "a stopped training does not exit with 143"
says "go on with:"

# ---- a loss far above its mean: the checkpoint is edited to remember losses near zero
spiked="transformer --data pictures -o spiked --tokenizer tokenizer $net --schedule constant --warmup 0"
# shellcheck disable=SC2086
run train $spiked --steps 110
LC_ALL=C sed -i 's/means\\":\[\\"[0-9.]\{6\}/means\\":[\\"0.0000/' spiked/checkpoint.safetensors
cp spiked/checkpoint.safetensors good
# shellcheck disable=SC2086
refuses "at step 111, above 1.5 times its running mean" -- $spiked --steps 130 --resume --spike 1.5
tail -1 spiked/log.jsonl | grep -q '"divergence":"spike","action":"stop"' && ok || bad "no line of the spike"
# shellcheck disable=SC2086
refuses "at step 120, above 1.5 times its running mean" -- $spiked --steps 130 --resume --spike 1.5 --on-divergence skip
[ "$(grep -c '"action":"skip"' spiked/log.jsonl)" -eq 9 ] && cmp -s spiked/checkpoint.safetensors good && ok ||
    bad "not nine steps left out, or another checkpoint"
# shellcheck disable=SC2086
run train $spiked --steps 130 --resume
! grep -q divergence spiked/log.jsonl && ok || bad "did not go on from the checkpoint"
for factor in 1 0.5 -2 nan much; do
    "$variant" train tokenizer --data pictures -o x --spike $factor >out.txt 2>err.txt
    [ $? -eq 2 ] && grep -q -- "--spike $factor: expected 0, or a number above 1" err.txt && ok || bad "took --spike $factor"
done

# ---- which path a step takes
unfit() { # message, options: a contradiction among them
    "$variant" train supernet --data pictures -o x --model transformer "${@:2}" >out.txt 2>err.txt
    [ $? -eq 2 ] && grep -q -e "$1" err.txt && ok || bad "not refused: ${*:2}"
}
unfit "--phases and --fixed-ratio: expected one of them" --phases --fixed-ratio 0.5
unfit "--sandwich and --phases: expected one of them" --sandwich --phases
unfit "--joint-end is for --phases" --joint-end 2
unfit "--joint-ratio is for --phases" --fixed-ratio 0.5 --joint-ratio 0.1
unfit "--transition-end is for --phases or --draw deepest-first" --transition-end 2

for kind in tokenizer transformer supernet classifier; do
    run train $kind --help
    says "--spike FACTOR"
done

# ---- memory
# shellcheck disable=SC2086
run train transformer --data pictures -o slices --tokenizer tokenizer $net --steps 6 --stop-after 4 --accumulate 2
run train transformer --data pictures -o slices --steps 6 --resume --tokenizer tokenizer
refuses "accumulate 2, now it is 4" -- transformer --data pictures -o slices --tokenizer tokenizer --steps 8 --accumulate 4 --resume
# shellcheck disable=SC2086
run train transformer --data pictures -o again --tokenizer tokenizer $net --steps 6 --accumulate 2 --recompute
cmp -s slices/transformer.safetensors again/transformer.safetensors && ok || bad "--recompute changes weights"
refuses "a batch of 4 in 5 slices: expected 1 to 4" -- classifier --data pictures -o x --batch 4 --accumulate 5

# ---- what cannot be done
mkdir -p bare/class
refuses "no pictures" -- tokenizer --data bare -o x
refuses "no such folder" -- tokenizer --data nowhere -o x
refuses "checkpoint" -- tokenizer --data pictures -o tokenizer --steps 6
refuses "cannot make the folder" -- tokenizer --data pictures -o /proc/none --steps 6
# shellcheck disable=SC2086
refuses "width" -- transformer --data pictures -o killed --tokenizer tokenizer --depth 3 --width 64 --heads 1 --batch 4 --steps 300 --resume

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
