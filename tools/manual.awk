# manual.awk - a help text of the program as a manual page (man macros). Variables: name (variant-train), words (variant train),
# purpose, version, date, pages (all others). Called by manuals.sh.
#
# A help text is: lines of usage; sentences; headings at the margin with rows below them, an option at two or six blanks and what
# it does from about column 25 on, over several lines; and examples.

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/) text = "\\&" text
    return text
}
function line(text) {
    sub(/^ +/, "", text)
    sub(/ +$/, "", text)
    if (text != "") print escape(text)
}
function section(title) {
    close_verbatim()
    print ".SH \"" toupper(title) "\""
    paragraph = 0
}
function close_verbatim() {
    if (verbatim) print ".EE\n.RE"
    verbatim = 0
}
function open_verbatim() {
    if (!verbatim) print ".PP\n.RS 4\n.EX"
    verbatim = 1
}
# Where an option's row has its text: behind two blanks, else behind the option and its one argument (--name ARGUMENT,
# or --name[=ARGUMENT]).
function split_row(row,    at) {
    sub(/^ +/, "", row)
    at = match(row, /  +/)
    if (!at) {
        if (!match(row, /^(-[a-zA-Z], )?[^ ]+\[=[^ ]+ /)) match(row, /^(-[a-zA-Z], )?[^ ]+ [^ ]+ /)
        at = RLENGTH
    }
    left = substr(row, 1, at - 1)
    right = substr(row, at)
    sub(/ +$/, "", left)
    sub(/^ +/, "", right)
}

BEGIN {
    print ".\\\" Written by tools/manuals.sh from the program's own help."
    printf ".TH \"%s\" 1 \"%s\" \"variant %s\" \"User Commands\"\n", escape(toupper(name)), date, version
    print ".nh\n.ad l"
    print ".SH NAME"
    print escape(name) " \\- " escape(purpose)
    print ".SH SYNOPSIS"
}

/^usage: / || (usage && /^       variant /) {
    usage = 1
    sub(/^usage: */, "")
    sub(/^ +/, "")
    if (synopses++) print ".br"
    command = words
    if (index($0, command) == 1) {
        print ".B " escape(command)
        line(substr($0, length(command) + 1))
    } else
        line($0)
    next
}
usage { # the first line behind it
    usage = 0
    in_text = 1
    pending = "DESCRIPTION"
}
/^$/ {
    if (!examples) close_verbatim()
    paragraph = 1
    next
}

# Headings: alone at the margin, short, and no sentence.
/^[a-z]/ && !/[.:;]$/ && !/^exit status/ && length($0) < 90 {
    if ($0 ~ /^examples?$/) {
        section("EXAMPLES")
        examples = 1
    } else if ($0 ~ /^(options|commands)$/) {
        section($0)
        optioned = $0 == "options" || optioned
        examples = 0
    } else {
        close_verbatim()
        if (!optioned++) print ".SH OPTIONS"
        print ".SS " escape(toupper(substr($0, 1, 1)) substr($0, 2))
        examples = 0
    }
    in_text = 0
    pending = ""
    next
}
/^exit status: / {
    section("EXIT STATUS")
    sub(/^exit status: */, "")
    line($0)
    next
}

examples {
    open_verbatim()
    sub(/^  /, "")
    print escape($0)
    next
}
/^  (-[a-zA-Z], |    )--[a-z]/ {
    close_verbatim()
    if (!optioned++) section("OPTIONS")
    split_row($0)
    print ".TP"
    print ".B " escape(left)
    line(right)
    in_text = 0
    row = 1
    paragraph = 0
    next
}
/^  [a-z]+  +[^ ]/ || /^  variant .*  +[^ ]/ { # a word and what it is
    close_verbatim()
    if (pending != "") {
        section(pending)
        pending = ""
    }
    split_row($0)
    print ".TP"
    print ".B " escape(left)
    line(right)
    row = 1
    paragraph = 0

    next
}
/^         / && row && !paragraph {
    line($0)
    next
}
/^ / { # a command line among sentences
    if (pending != "") {
        section(pending)
        pending = ""
    }
    open_verbatim()
    sub(/^  /, "")
    print escape($0)
    next
}
{ # sentences
    close_verbatim()
    row = 0
    if (pending != "") {
        section(pending)
        pending = ""
    } else if (!in_text && !noted++)
        section("NOTES")
    else if (paragraph)
        print ".PP"
    paragraph = 0
    in_text = 1
    line($0)
}

END {
    close_verbatim()
    print ".SH \"SEE ALSO\""
    count = split(name == "variant" ? pages : "variant" related(), others, " ")
    for (i = 1; i <= count; ++i) print ".BR " escape(others[i]) " (1)" (i < count ? "," : "")
}
# Pages of the same command.
function related(    all, i, count, found, family) {
    split(name, family, "-")
    count = split(pages, all, " ")
    found = ""
    for (i = 1; i <= count; ++i)
        if (all[i] != name && index(all[i] "-", family[1] "-" family[2] "-") == 1) found = found " " all[i]
    return found
}
