#!/usr/bin/env bash
# Situations of the first minutes: what somebody types who has never seen the program.
#   tests/situations/basics.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

mistyped_command() {
    refuses 2 generat
    says "did you mean generate"
}
situation mistyped-command "a command with a letter missing: the nearest one is named" mistyped_command

begun_command() {
    refuses 2 gen
    says "did you mean generate"
    refuses 2 xyz
    says "variant --help lists"
    is_silent_on "did you mean"
}
situation begun-command "the beginning of a command is named whole; a word that is near none gets no guess" begun_command

mistyped_kind() {
    refuses 2 bench stream
    says "did you mean bench streams"
    refuses 2 train tokeniser
    says "did you mean train tokenizer"
    refuses 2 train pictures
    says "expected tokenizer, transformer, supernet, classifier or decoder"
    refuses 2 plan train trnasformer
    says "did you mean plan train transformer"
    refuses 2 help plan trian
    says "did you mean plan train"
}
situation mistyped-kind "what is trained, planned or timed, mistyped" mistyped_kind

no_arguments() {
    refuses 2
    says "usage: variant"
}
situation no-arguments "the bare program: how it is used, on stderr" no_arguments

situations_end
