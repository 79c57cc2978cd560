# What fish does with the lines that `variant help --format fish` prints; tools/manuals.sh puts both together.
# The command that was typed, with its kind: "train tokenizer"; and in __variant_left how many words stand behind it.
function __variant_typed
    set -l words (commandline -opc)
    set -g __variant_left 0
    set -l typed
    for word in $words[2..-1]
        if test $__variant_left -eq 0; and contains -- (string join -- ' ' $typed $word) $__variant_commands
            set -a typed $word
        else
            set -g __variant_left (math $__variant_left + 1)
        end
    end
    # `help train` is asked about train
    if test "$typed[1]" = help
        set -g __variant_left 0
        set -l about
        for word in $words[3..-1]
            contains -- (string join -- ' ' $about $word) $__variant_commands; or set -g __variant_left 1
            set -a about $word
        end
        set typed $about
    end
    string join -- ' ' $typed
end
# Is it this command?
function __variant_at
    set -l words (commandline -opc)
    set -l typed (__variant_typed)
    test "$words[2]" != help; and test "$typed" = "$argv"
end
# Is it this command, and its kind is yet to be named?
function __variant_before
    set -l typed (__variant_typed)
    test "$typed" = "$argv"; and test $__variant_left -eq 0; and contains -- "$argv" $__variant_parents
end
# What -m or --model named, said by `inspect`.
function __variant_inspect
    set -l words (commandline -opc)
    set -l model
    for i in (seq 2 (count $words))
        switch $words[$i]
            case -m --model
                set model $words[(math $i + 1)]
            case '--model=*'
                set model (string replace -- --model= '' $words[$i])
        end
    end
    test -n "$model"; and eval $words[1] inspect (string escape -- (string replace -r '^~' $HOME -- $model)) --json 2>/dev/null
end
# That model's classes, and the words that are always a class.
function __variant_classes
    printf '%s\n' all random uncond
    __variant_inspect | sed -nE 's/^[[:space:]]*"class_names":[[:space:]]*\["(.*)"\],?$/\1/;T;s/", *"/\n/g;p'
end
# Its depths; with a comma, behind what is typed of a list.
function __variant_depths
    set -l before
    test -n "$argv[1]"; and set before (string match -r '.*,' -- (commandline -ct | string replace -r '^--[a-z-]*=' ''))
    for depth in (__variant_inspect | sed -nE 's/^[[:space:]]*"depth":[[:space:]]*([0-9]+),?$/\1/p' | sort -rnu)
        echo "$before$depth"
    end
end
