#!/usr/bin/env bash
# Situations of the first minutes: what somebody types who has never seen the program.
#   tests/situations/basics.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

mistyped_command() {
    refuses 2 generat
    says "did you mean generate"
}
situation mistyped-command "a command with a letter missing: the nearest one is named" mistyped_command

no_arguments() {
    refuses 2
    says "usage: variant"
}
situation no-arguments "the bare program: how it is used, on stderr" no_arguments

situations_end
