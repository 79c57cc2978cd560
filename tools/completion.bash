# What bash does with the tables that `variant help --format bash` prints; tools/manuals.sh puts both together.
# Lines of words that begin with what is typed, each quoted as the shell needs it.
_variant_offer() {
    local word IFS=$'\n'
    COMPREPLY=()
    for word in $1; do
        [[ $word == "$2"* ]] && COMPREPLY+=("$(printf %q "$word")")
    done
}
# What -m or --model named, said by `inspect`.
_variant_inspect() {
    local i model=
    for ((i = 1; i < COMP_CWORD; ++i)); do
        [[ ${COMP_WORDS[i]} == -m || ${COMP_WORDS[i]} == --model ]] && model=${COMP_WORDS[i + 1]}
    done
    [ -z "$model" ] || "${COMP_WORDS[0]}" inspect "${model/#\~/$HOME}" --json 2>/dev/null
}
# That model's classes, and the words that are always a class.
_variant_classes() {
    printf '%s\n' all random uncond
    _variant_inspect | sed -nE 's/^[[:space:]]*"class_names":[[:space:]]*\["(.*)"\],?$/\1/;T;s/", *"/\n/g;p'
}
# Its depths, behind what is typed of a list.
_variant_depths() {
    _variant_inspect | sed -nE 's/^[[:space:]]*"depth":[[:space:]]*([0-9]+),?$/\1/p' | sort -rnu | sed "s/^/${1-}/"
}
_variant() {
    local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command takes at=2 helps=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        _variant_offer "${_variant_commands// /$'\n'}"$'\n'"${_variant_options[variant]// /$'\n'}" "$typed"
        return
    fi
    command=${COMP_WORDS[1]}
    if [ "$command" = help ]; then
        [ "$COMP_CWORD" -eq 2 ] && _variant_offer "${_variant_commands// /$'\n'}" "$typed" && return
        command=${COMP_WORDS[2]} at=3 helps=1
    fi
    # Kinds of kinds: plan train tokenizer.
    while [ "$at" -lt "$COMP_CWORD" ] && [[ " ${_variant_kinds[$command]-} " == *" ${COMP_WORDS[at]} "* ]]; do
        command+=" ${COMP_WORDS[at]}"
        at=$((at + 1))
    done
    if [ "$at" -eq "$COMP_CWORD" ] && [ -n "${_variant_kinds[$command]-}" ] && [[ $typed != -* ]]; then
        _variant_offer "${_variant_kinds[$command]// /$'\n'}" "$typed"
        return
    fi
    [ -z "$helps" ] || return 0
    takes=${_variant_takes["$command $before"]-}
    case $takes in
    =*) takes=${takes#=} && _variant_offer "${takes// /$'\n'}" "$typed" ;;
    class) _variant_offer "$(_variant_classes)" "${typed#[\"\']}" ;;
    depth) _variant_offer "$(_variant_depths)" "$typed" ;;
    depths)
        compopt -o nospace 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -W "$(_variant_depths "${typed%"${typed##*,}"}")" -- "$typed")
        ;;
    folders)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$typed")
        ;;
    -) ;;
    *)
        if [ -z "$takes" ] && [[ $typed == -* ]]; then
            _variant_offer "${_variant_options[$command]// /$'\n'}" "$typed"
        else
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$typed")
        fi
        ;;
    esac
}
complete -F _variant variant
