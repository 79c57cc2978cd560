# What zsh does with the tables that `variant help --format zsh` prints; tools/manuals.sh puts both together.
# What -m or --model named, said by `inspect`.
_variant_inspect() {
    local i model=
    for ((i = 2; i < $#words; ++i)); do
        case $words[i] in
        -m | --model) model=$words[i+1] ;;
        --model=*) model=${words[i]#*=} ;;
        esac
    done
    [[ -z $model ]] || ${(Q)~_variant_program} inspect ${(Q)~model} --json 2>/dev/null
}
# That model's classes, and the words that are always a class.
_variant_classes() {
    local -a classes
    classes=(all random uncond ${(f)"$(_variant_inspect | sed -nE 's/^[[:space:]]*"class_names":[[:space:]]*\["(.*)"\],?$/\1/;T;s/", *"/\n/g;p')"})
    compadd -X class -a classes
}
# Its depths; with a comma, one more of a list.
_variant_depths() {
    local -a depths
    local comma=$1
    [[ -z $comma ]] || compset -P '*,'
    depths=(${(f)"$(_variant_inspect | sed -nE 's/^[[:space:]]*"depth":[[:space:]]*([0-9]+),?$/\1/p' | sort -rnu)"})
    compadd -X depth -V depths ${comma:+-S} ${comma:+''} -a depths
}
# One of the commands, or of a command's kinds.
_variant_choose() {
    local -a kinds
    kinds=(${(f)_variant_kinds[$1]})
    _describe -t commands command kinds
}
_variant() {
    local _variant_program=$words[1] command= at=2 helps=
    local -a specs kinds
    if ((CURRENT > 2)) && [[ $words[2] == help ]]; then
        helps=1 at=3
    fi
    # Kinds of kinds: plan train tokenizer.
    while ((at < CURRENT)); do
        kinds=(${${(f)_variant_kinds[$command]}%%:*})
        ((${kinds[(Ie)$words[at]]})) || break
        command=${command:+$command }$words[at]
        ((++at))
    done
    if ((at == CURRENT)) && [[ -n $_variant_kinds[$command] && $words[CURRENT] != -* ]]; then
        _variant_choose "$command"
        return
    fi
    [[ -z $helps ]] || return 1
    if [[ -z $command ]]; then
        _arguments '--help[what there is]' '--version[of the program]'
        return
    fi
    specs=(${(f)_variant_specs[$command]})
    # _arguments begins at the command's last word.
    words=("$command" "${(@)words[at,-1]}")
    ((CURRENT -= at - 2))
    _arguments -s -S $specs '*:file:_files'
}
# Loaded by compinit it is called as it is read; sourced it is told whose it is.
if [[ $funcstack[1] == _variant ]]; then
    _variant "$@"
else
    compdef _variant variant
fi
