#!/usr/bin/env python3
"""What zsh offers when Tab is pressed behind a line, in a real terminal: tests/situations/install.sh asks.
    zsh_completion.py FOLDER LINE...     FOLDER has _variant; prints a line each: the words offered, between tabs

zsh has no command that tells; compadd, which every completion ends in, is asked for what it would have offered."""
import os
import pty
import select
import sys
import tempfile
import time

RC = r"""
fpath=(%s $fpath)
autoload -Uz compinit
compinit -u -D
PROMPT= RPROMPT=
compadd() {
    if [[ ${(j: :)${@[1,(i)(-|--)]}} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a hits
    builtin compadd -A hits "$@"
    print -rl -- $hits >>$HITS
    (($#hits))
}
offer() {
    zle complete-word
    print -r -- @end >>$HITS
}
zle -N offer
bindkey '^I' offer
zle-line-init() { print -r -- @ready >>$HITS }
zle -N zle-line-init
"""


def wait_for(path, word, terminal, limit=20.0):
    """Reads what the shell draws, which nobody looks at, until it wrote the word to the file."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 65536)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
            if word in lines:
                return lines
    sys.exit(f"zsh_completion.py: zsh did not come to {word} within {limit:.0f} s")


def main(folder, lines):
    with tempfile.TemporaryDirectory() as home:
        hits = os.path.join(home, "hits")
        with open(os.path.join(home, ".zshrc"), "w") as file:
            file.write(RC % folder)
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(ZDOTDIR=home, HITS=hits, TERM="xterm", COLUMNS="200", LINES="50")
            os.execvp("zsh", ["zsh", "-i", "-d"])
        wait_for(hits, "@ready", terminal)
        for line in lines:
            os.truncate(hits, 0)
            os.write(terminal, b"\x15" + line.encode() + b"\t")
            offered = wait_for(hits, "@end", terminal)
            print("\t".join(dict.fromkeys(word for word in offered if word and not word.startswith("@"))), flush=True)
        os.close(terminal)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
