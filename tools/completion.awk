# completion.awk - help texts, each behind a line "== WORDS", as bash's completion of the program. Called by manuals.sh.
#
# Of an option's argument the help says what can follow: words between bars (f32|bf16), or words at the beginning of what it does
# ("f32 (default, exact), bf16 or int8"); a file or a folder by name (FILE, PATH, DIR ..); else nothing is offered.

function quoted(text) {
    gsub(/'/, "'\\''", text)
    return "'" text "'"
}
# Lower-case words that a text begins with: "test (default) or train" -> "test train"; fewer than two: none.
function words_of(text,    pieces, count, i, list, found) {
    while (match(text, /\([^()]*\)/)) text = substr(text, 1, RSTART - 1) substr(text, RSTART + RLENGTH)
    sub(/^[A-Za-z ]+: /, "", text)
    sub(/;.*/, "", text)
    count = split(text, pieces, /, | or /)
    for (i = 1; i <= count; ++i) {
        gsub(/^ +| +$/, "", pieces[i])
        if (pieces[i] !~ /^[a-z][a-z0-9-]*$/) break
        list = list (list == "" ? "" : " ") pieces[i]
        ++found
    }
    return found > 1 ? list : ""
}
# What may follow: "", "-" (nothing is known), "files", "folders", "class", "=a b c".
function taken(option, argument, text,    words) {
    if (argument == "") return ""
    if (option == "--class") return "class"
    if (argument ~ /^[A-Za-z0-9]+(\|[A-Za-z0-9]+)+$/ && argument !~ /IDX|DIR|FILE/) {
        words = argument
        gsub(/\|/, " ", words)
        gsub(/(^| )[A-Z]+( |$)/, " ", words)
        gsub(/^ +| +$/, "", words)
        return words == "" ? "-" : "=" words
    }
    if (argument ~ /^[a-z]+$/) return "=" argument
    if (argument ~ /^(DIR|FOLDER)$/) return "folders"
    if (argument ~ /FILE|PATH|MODEL|DATA|IDX|CONFIG/) return "files"
    words = words_of(text)
    return words == "" ? "-" : "=" words
}
function flush() {
    if (option != "") {
        what = taken(option, argument, text)
        count = split(option_names, each, " ")
        for (i = 1; i <= count; ++i) {
            options = options " " each[i]
            if (what != "") kinds[words " " each[i]] = what
        }
    }
    option = argument = text = option_names = ""
}
function flush_command() {
    flush()
    if (words == "") return
    printf "_variant_options[%s]=%s\n", quoted(words), quoted(substr(options, 2))
    options = ""
}

BEGIN {
    print "# bash completion of variant: written by tools/manuals.sh from the program's own help."
    print "declare -A _variant_options _variant_takes"
}
/^== / {
    flush_command()
    words = substr($0, 4)
    if (words != "variant" && split(words, parts, " ") == 2) subs[parts[1]] = subs[parts[1]] " " parts[2]
    next
}
words == "variant" && /^  [a-z]+  +[^ ]/ { commands = commands " " $1 }
/^  (-[a-zA-Z], |    )--[a-z]/ {
    flush()
    row = $0
    sub(/^ +/, "", row)
    at = match(row, /  +/)
    if (!at) {
        if (!match(row, /^(-[a-zA-Z], )?[^ ]+\[=[^ ]+ /)) match(row, /^(-[a-zA-Z], )?[^ ]+ [^ ]+ /)
        at = RLENGTH
    }
    left = substr(row, 1, at - 1)
    text = substr(row, at)
    sub(/^ +/, "", text)
    count = split(left, parts, /, | /)
    for (i = 1; i <= count; ++i) {
        sub(/\[=.*/, "", parts[i]) # a value only behind =, which is not waited for
        if (parts[i] ~ /^-/) option_names = option_names " " parts[i]
        else if (parts[i] != "") argument = parts[i]
        if (parts[i] ~ /^--/) option = parts[i]
    }
    next
}
/^         / && option != "" {
    sub(/^ +/, "")
    text = text " " $0
    next
}
{ flush() }

END {
    flush_command()
    printf "_variant_options[variant]='--help --version'\n"
    for (key in kinds) printf "_variant_takes[%s]=%s\n", quoted(key), quoted(kinds[key]) | "sort"
    close("sort")
    printf "_variant_commands=%s\n", quoted(substr(commands, 2) " help version")
    print "declare -A _variant_kinds"
    for (key in subs) printf "_variant_kinds[%s]=%s\n", quoted(key), quoted(substr(subs[key], 2)) | "sort"
    close("sort")
    while ((getline text < functions) > 0) print text
}
