#!/usr/bin/env bash
# Situations of training: what somebody types who names nothing but the pictures, and what becomes of a run that is to go on.
#   tests/situations/training.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# folder COUNT [SIDE]: pictures/ with two classes, COUNT pictures in all
folder() {
    python3 -c "
import sys, inputs
count, side = int(sys.argv[1]), int(sys.argv[2])
inputs.classes('pictures', ['cat', 'dog'], (count + 1) // 2, width=side, height=side)" "$1" "${2:-16}"
    [ $(($1 % 2)) -eq 0 ] || rm "$(find pictures/dog -name '*.png' | tail -1)"
}
# chosen OPTION: the value that the block "chosen:" gives it
chosen() { sed -nE "/^(chosen:|        --)/s/.*--$1 ([^ ]+).*/\1/p" err.txt | head -1; }
# last_rate FOLDER: of the last training line of the log
last_rate() { grep '"loss"' "$1/log.jsonl" | tail -1 | sed -E 's/.*"lr":([^,}]*).*/\1/'; }
# below A B / about A B
below() { python3 -c "import sys; sys.exit(not float('$1') < float('$2'))"; }
about() { python3 -c "import sys; sys.exit(not abs(float('$1') - float('$2')) <= 1e-3 * abs(float('$2')))"; }
tokenizer() { succeeds train tokenizer --data pictures -o "$1" --side 8 --codes 16 --latent 8 --batch 4 -t 1 "${@:2}"; }

side_alone() {
    folder 20
    succeeds train tokenizer --data pictures -o run --side 64 --steps 2
    for option in mult sides width codes latent batch lr warmup; do
        [ -n "$(chosen $option)" ] || fault "--$option: not told"
    done
    [ -z "$(chosen side)" ] && [ -z "$(chosen epochs)" ] || fault "what was given is told as chosen"
    # what was told, given: the same tokenizer
    # shellcheck disable=SC2046
    succeeds train tokenizer --data pictures -o again --side 64 --steps 2 $(sed -nE 's/^(chosen:| {8})(.*)/\2/p' err.txt)
    is_silent_on "chosen:"
    same_bytes run/tokenizer.safetensors again/tokenizer.safetensors
}
situation side-alone "--side 64 and nothing else: it trains; what it chose is told as options, which given make the same tokenizer" side_alone

whole_chain() {
    folder 24
    succeeds train tokenizer --data pictures -o tok --side 16 --steps 3
    succeeds train transformer --data pictures -o var --tokenizer tok --steps 3
    for option in depth width heads batch lr; do [ -n "$(chosen $option)" ] || fault "--$option: not told"; done
    succeeds train supernet --data pictures -o net --model var --steps 3
    [ "$(chosen depths)" = 2,1 ] || fault "depths $(chosen depths) of four layers"
    succeeds train classifier --data pictures -o judge --side 16 --steps 3
    succeeds generate -m net --class dog --depth 2 -o dog.png
}
situation whole-chain "a folder, and no number but --side and --steps: all four trainings, and a picture at half depth" whole_chain

odd_sides() {
    folder 20
    for sides in 28:28 48:48 100:96 8:8; do
        succeeds train tokenizer --data pictures -o "tok${sides%:*}" --side "${sides%:*}" --steps 1
        "$variant" inspect "tok${sides%:*}" >shown.txt 2>&1
        grep -qE "${sides#*:} ?x ?${sides#*:}" shown.txt || fault "--side ${sides%:*}: not ${sides#*:}: $(head -5 shown.txt)"
        if [ "${sides%:*}" = "${sides#*:}" ]; then is_silent_on "nearest"; else says "side ${sides%:*}: ${sides#*:} is the nearest"; fi
    done
    succeeds train classifier --data pictures -o judge --side 30 --steps 1
    says "side 30: (28|32) is the nearest"
}
situation odd-sides "sides of 28, 48, 100 and 8: the nearest that works is taken, and told where it is another" odd_sides

contradicting_shape() {
    folder 8
    refuses 2 train tokenizer --data pictures -o run --side 64 --sides 1,2,4 --mult 1,2
    says "side 64: .* 4, doubled 1 times .*makes 8"
    refuses 2 train tokenizer --data pictures -o run --side 50 --sides 1,2,4
    says "such as"
    [ ! -e run ] || fault "a folder was made"
}
situation contradicting-shape "--side, --sides and --mult that do not fit each other: told, with what would" contradicting_shape

short_run() {
    folder 20
    tokenizer run --steps 80 --log-every 1 --save-every 0
    peak=$(grep '"loss"' run/log.jsonl | sed -E 's/.*"lr":([^,}]*).*/\1/' | sort -g | tail -1)
    about "$peak" 0.001 || fault "the highest rate is $peak"
    below "$(last_rate run)" 0.0001 || fault "80 steps end at $(last_rate run)"
    [ "$(chosen warmup)" = 8 ] || fault "warm-up $(chosen warmup)"
    tokenizer long --steps 3 --warmup 100
    says "warm-up of 100 steps is as long as the training"
}
situation short-run "80 steps: warmed up in 8, and at the lowest rate at the end; a given warm-up that is too long is told" short_run

one_picture() {
    python3 -c "import inputs; inputs.picture('pictures/cat/a.png')"
    succeeds train tokenizer --data pictures -o run --side 8 --steps 2
    [ "$(chosen batch)" = 1 ] || fault "batch $(chosen batch) of one picture"
    folder 3
    succeeds train tokenizer --data pictures -o three --side 8 --steps 2
    [ "$(chosen batch)" -le 4 ] || fault "batch $(chosen batch)"
}
situation one-picture "one picture, or four: a batch that there is" one_picture

file_in_the_way() {
    folder 8
    : >file
    for run in file file/deeper; do
        refuses 1 train tokenizer --data pictures -o $run --side 8 --steps 1
        says "file is a file, expected a folder"
    done
}
situation file-in-the-way "-o names a file, or a folder below one: it says which one is no folder" file_in_the_way

no_run() {
    folder 8
    for kind in tokenizer classifier; do
        refuses 2 train $kind --data pictures -o nowhere --side 8 --resume
        says "nowhere: no run to go on with"
    done
    [ ! -e nowhere ] || fault "a folder was made"
    mkdir empty
    refuses 2 train tokenizer --data pictures -o empty --side 8 --resume
    says "empty: no run"
    refuses 2 train tokenizer --data pictures -o empty --side 8 --resume --restart
    says "--resume and --restart: expected one"
}
situation no-run "--resume where no run is, or an empty folder: an error that names it, and nothing is made" no_run

run_there() {
    folder 8
    tokenizer run --steps 2
    cp run/checkpoint.safetensors kept
    refuses 2 train tokenizer --data pictures -o run --side 8 --steps 2
    says "run/checkpoint.safetensors: there already; resume .*restart"
    same_bytes run/checkpoint.safetensors kept
    tokenizer run --steps 3 --restart
    other_bytes run/checkpoint.safetensors kept
}
situation run-there "a run in the folder already: neither gone on with nor thrown away unless told" run_there

more_steps() {
    folder 20
    tokenizer run --steps 40 --log-every 1
    succeeds train tokenizer --data pictures -o run --resume --steps 80 --log-every 1 -t 1
    says "80 steps instead of 40"
    [ "$(grep -c '"loss"' run/log.jsonl)" -eq 80 ] || fault "not 80 lines"
    middle=$(grep '"step":55,' run/log.jsonl | sed -E 's/.*"lr":([^,}]*).*/\1/')
    below 0.0002 "$middle" || fault "the rate at step 55 is $middle, expected that of a run of 80"
    below "$(last_rate run)" 0.0001 || fault "ends at $(last_rate run)"
    refuses 2 train tokenizer --data pictures -o run --resume --steps 60 -t 1
    says "step 80 already"
}
situation more-steps "a finished run of 40 steps, --resume --steps 80 and no other option: goes on along the longer cosine; fewer steps than done are refused" more_steps

rate_kept() {
    folder 20
    tokenizer run --steps 20 --log-every 1
    rate=$(last_rate run)
    succeeds train tokenizer --data pictures -o run --resume --steps 40 --extend constant --log-every 1 -t 1
    about "$(last_rate run)" "$rate" || fault "$(last_rate run) after $rate"
    tokenizer flat --steps 20 --schedule constant --log-every 1
    tokenizer flat --steps 30 --schedule constant --log-every 1 --resume
    about "$(last_rate flat)" 0.001 || fault "a constant rate became $(last_rate flat)"
    refuses 2 train tokenizer --data pictures -o other --extend constant --steps 3
    says "--extend is for --resume"
}
situation rate-kept "--extend constant: the rate stays what it was; a constant one stays in any case" rate_kept

stopped_twice() {
    folder 20
    tokenizer straight --steps 30
    tokenizer parts --steps 30 --save-every 10
    tokenizer parts --steps 30 --resume
    same_bytes straight/tokenizer.safetensors parts/tokenizer.safetensors
    # a longer run, whole and in two goes after its first part: the same
    tokenizer straight --steps 60 --resume
    tokenizer parts --steps 60 --save-every 45 --resume
    same_bytes straight/checkpoint.safetensors parts/checkpoint.safetensors
    tokenizer straight --resume
    says "complete at step 60"
}
situation stopped-twice "the same extension twice over: the same bytes; a complete run says that it is complete" stopped_twice

killed_in_extension() {
    folder 20
    tokenizer a --steps 20
    cp -r a b
    tokenizer a --steps 400 --resume
    "$variant" train tokenizer --data pictures -o b --side 8 --codes 16 --latent 8 --batch 4 -t 1 --steps 400 --save-every 7 --resume >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 600); do grep -qs '"step":50' b/log.jsonl && break; sleep 0.02; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    succeeds train tokenizer --data pictures -o b --resume -t 1
    same_bytes a/tokenizer.safetensors b/tokenizer.safetensors
}
situation killed-in-extension "a run of another length, killed, and gone on with by --resume alone: the bytes of one that was not" killed_in_extension

short_line() {
    folder 20
    tokenizer run --steps 4 --flip --seed 3 --lr 0.00123456789
    succeeds train tokenizer --data pictures -o run --resume --flip --seed 3 --steps 8 -t 1
    is_silent_on "chosen:"
    refuses 2 train tokenizer --data pictures -o run --resume --flip --seed 4 --steps 8
    says "was made with seed 3, now it is 4"
    refuses 2 train tokenizer --data pictures -o run --resume --flip --seed 3 --side 64
    says "was made with side 8, now it is 64"
    refuses 2 train tokenizer --data pictures -o run --resume --flip --seed 3 --batch 5
    says "was made with batch 4, now it is 5"
}
situation short-line "--resume without the options that followed from the data; another value of one is told" short_line

longer_epochs() {
    folder 20
    succeeds train classifier --data pictures -o run --side 8 --holdout 0 --batch 5 --epochs 2 -t 1
    succeeds train classifier --data pictures -o run --side 8 --holdout 0 --batch 5 --epochs 3.5 -t 1 --resume
    says "14 steps instead of 8"
}
situation longer-epochs "two epochs, then three and a half" longer_epochs

first_guess() {
    folder 8
    tokenizer run --steps 3
    is_silent_on "left"
}
situation first-guess "a progress line does not guess the time left from the first steps" first_guess

help_has_defaults() {
    for kind in tokenizer transformer supernet classifier; do
        succeeds train $kind --help
        bare=$(grep -E '^ {6}--|^  -' out.txt | wc -l)
        [ "$bare" -gt 25 ] || fault "$kind: $bare options"
        # every option with a number says what it is without: in brackets somewhere in its lines
        python3 - "$kind" <<'PY' || fault "$kind: an option without its default"
import re, sys
text = open("out.txt").read()
rows = re.findall(r"^ {2}(?:-\w, | {4})(--[a-z0-9-]+)( [A-Z]\S*)(.*(?:\n {20,}.*)*)", text, re.M)
bad = [name for name, value, words in rows if "(" not in words and "--phases" not in words
       and name not in ("--steps", "--fixed-ratio", "--draw-weights")]
print(bad)
sys.exit(bool(bad))
PY
    done
}
situation help-has-defaults "--help of every training: each option with its default" help_has_defaults

bad_numbers() {
    folder 8
    for pair in "--epochs 0" "--epochs -1" "--steps 0" "--lr 0" "--lr 2" "--batch 0" "--warmup -1" "--lr-end -1" "--extend linear" "--side 0"; do
        # shellcheck disable=SC2086
        refuses 2 train tokenizer --data pictures -o run $pair
        says "expected "
    done
    [ ! -e run ] || fault "a folder was made"
}
situation bad-numbers "zero epochs, no rate, a batch of none: refused with the range" bad_numbers

dry_run() {
    folder 24
    succeeds train tokenizer --data pictures -o tok --side 16 --steps 1
    for kind in "tokenizer --side 16" "classifier --side 16" "transformer --tokenizer tok" "supernet --tokenizer tok --depth 4"; do
        # shellcheck disable=SC2086
        succeeds train $kind --data pictures --dry-run
        says "weights +[0-9]+ bytes"
        says "at most +[0-9]+ bytes"
        most=$(sed -nE 's/^ *at most +([0-9]+).*/\1/p' out.txt)
        # shellcheck disable=SC2086
        succeeds plan train $kind --data pictures --json
        python3 -c "
import json, sys
told = json.load(open('out.txt'))
kept = sum(told[k + '_bytes'] for k in ('weights', 'packed', 'gradients', 'moments', 'tokenizer', 'data'))
steps = sum(told[k + '_bytes'] for k in ('activations', 'saving', 'samples'))
assert told['total_bytes'] == $most == kept + max(steps, told['encoding_bytes']), told
assert 0 <= told['gradients_bytes'] - told['moments_bytes'] // 2 < 65536, told" || fault "$kind: the parts do not add up"
    done
    [ "$(find . -mindepth 1 -maxdepth 1 -type d | sort | xargs)" = "./pictures ./tok" ] || fault "a dry run left something"
    refuses 2 train tokenizer --data pictures -o run --json
    refuses 2 train tokenizer --data pictures --dry-run --resume
    # a batch that no machine holds: told by the dry run, refused by the run, at once
    succeeds train tokenizer --data pictures --side 256 --batch 20 --dry-run
    sanitized && return 0 # a sanitizer takes more address space than any limit
    (
        ulimit -v 1500000
        "$variant" train tokenizer --data pictures --side 256 --batch 20 -o large >out.txt 2>err.txt
    ) && fault "fits into 1.5 GB"
    says "this training needs [0-9.]+ MB, .*leaves [0-9.]+ MB"
    [ ! -e large/log.jsonl ] || fault "it began"
}
situation dry-run "--dry-run: the bytes of every training by part, as a table and as JSON, and nothing else; what does not fit ends at once" dry_run

situations_end
