#!/usr/bin/env bash
# Situations of typing: values that cannot be, words with a letter missing, options that contradict each other.
#   tests/situations/options.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

commands=(generate plan "train tokenizer" "train transformer" "train supernet" "train classifier" eval bench "bench train" sweep inspect
    convert encode decode reconstruct classify synth selftest)

# options_of COMMAND: its long options with a value, as "--name WORD", from its own --help.
options_of() {
    # shellcheck disable=SC2086
    "$variant" $1 --help | sed -nE 's/^ +(-[a-z], )?(--[a-z0-9-]+ [A-Za-z0-9][^ ]*) .*/\2/p' | sort -u
}
# refuses_value COMMAND OPTION VALUE: status 2, one line, and it says what is accepted.
refuses_value() {
    # shellcheck disable=SC2086
    refuses 2 $1 "$2" "$3"
    [ "$(wc -l <err.txt)" -eq 1 ] || fault "$1 $2 \"$3\": more than one line"
    says "--[a-z0-9-]+ .*: expected "
}

every_option_says() {
    local command option word walked=0
    for command in "${commands[@]}"; do
        while read -r option word; do
            walked=$((walked + 1))
            refuses_value "$command" "$option" ""
            case $option:$word in # names and paths: any could be one
                --arch:* | --part:* | --class:* | --layers:WHICH | --uncond-layers:WHICH | --train-schedules:* | --beside:* | *:FILE | *:PATH | *:PICTURE | *:DIR | *:FOLDER | *:DATA | *:MODEL | *:*IDX*) ;;
                *) refuses_value "$command" "$option" "@?" ;;
            esac
        done < <(options_of "$command")
    done
    [ $walked -gt 200 ] || fault "only $walked options walked: is --help still read?"
}
situation every-option-says "any option of any command with a value that cannot be: status 2 and a line that tells what is accepted" every_option_says

share_above_one() {
    for value in 1.5 -0.1 nan 0,9 0.9x; do
        refuses 2 generate -m x --top-p $value
        says "--top-p $value: expected a number from 0 to 1"
    done
}
situation share-above-one "a probability above one, below zero, with a comma: the range is told" share_above_one

odd_width() {
    mkdir pictures
    for value in 8 33 100000 x; do
        refuses 2 train tokenizer --data pictures -o run --width $value
        says "--width $value: expected a multiple of 32 from 32 to 4096"
    done
    [ ! -e run ] || fault "a run's folder was made"
}
situation odd-width "a width that no tokenizer can have: the step and the range are told" odd_width

beyond_the_model() {
    tiny_model m.safetensors
    refuses 2 generate -m m.safetensors --depth 4
    says "3 layers, expected 1 to 3"
    refuses 2 generate -m m.safetensors --bridge 9
    says "3 scales, expected 0 to 3"
    refuses 2 generate -m m.safetensors --depths 3,3
    says "3 scales, expected one depth a scale"
    refuses 2 generate -m m.safetensors --layers 0,7
    says "no layer 7.*layers 0 to 2"
    refuses 2 generate -m m.safetensors --class 3
    says "no class .3.: expected 0 to 2"
    refuses 2 bench -m m.safetensors --depth 4
    says "expected 1 to 3"
    refuses 2 sweep -m m.safetensors -o s --depths 4
    says "expected 1 to 3"
    [ ! -e out.png ] || fault "a picture was written"
}
situation beyond-the-model "depth, bridge, layers or class that this model has not: wrong usage as any other value, with the model's range" beyond_the_model

letters_missing() {
    refuses 2 generate -m x --top-q 0.5
    says "did you mean --top-[kp]"
    refuses 2 train tokenizer --epoc 3 --data x
    refuses 2 generate -m x --seeed 5
    says "did you mean --seed"
    refuses 2 generate -m x --to 3
    says "could be.*--top-k.*--top-p"
    refuses 2 generate -m x --greedy=yes
    says "greedy takes no value"
    refuses 2 generate -m x -q
    says "unknown option -q"
}
situation letters-missing "an option with a letter too many or too few: the nearest is named" letters_missing

names_from_elsewhere() {
    refuses 2 generate -m x --prompt dog
    says "here it is --class"
    refuses 2 generate -m x --guidance-scale=4
    says "here it is --cfg-scale"
    refuses 2 generate -m x --top_k 3
    says "here it is --top-k"
    refuses 2 train tokenizer --learning_rate 1e-4
    says "here it is --lr"
    refuses 2 generate -m x -p dog
    says "unknown option -p; here it is --class"
    refuses 2 serve -m x --host 0.0.0.0
    says "here it is --listen"
    refuses 2 generate -m x --steps 20
    says "a step a scale"
    refuses 2 generate -m x -W 512
    says "as wide as the model was trained for"
    refuses 2 generate -m x --negative_prompt blurred
    says "away from no class"
    refuses 2 inspect x --steps 20
    is_silent_on "a step a scale"
    refuses 2 inspect x --prompt dog
    is_silent_on "here it is"
}
situation names-from-elsewhere "options as other programs of this kind call them: the name here, where the command has one" names_from_elsewhere

value_forgotten() {
    refuses 2 generate -m x --class --depth 4
    says "--class needs a value, but --depth follows"
    refuses 2 generate -m x -n
    says "needs a value"
}
situation value-forgotten "an option whose value was forgotten does not swallow the next one" value_forgotten

situations_end
