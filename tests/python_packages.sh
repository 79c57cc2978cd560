# Packages of Python for tests that speak as other people's clients do; sourced by them.
#   python=$(python_with BUILD_FOLDER PACKAGE...) || exit 0     a python that has the newest of each, in a folder of its own; or a line that begins with SKIP
python_with() {
    local folder=$1/python-${2%%[^a-z]*} log
    shift
    log=$(mktemp)
    if { python3 -m venv "$folder" && "$folder/bin/pip" install -q --disable-pip-version-check --retries 1 --upgrade "$@"; } >"$log" 2>&1; then
        rm -f "$log"
        echo "$folder/bin/python"
        return 0
    fi
    echo "SKIP pip cannot have $*: $(tail -1 "$log")" >&2
    rm -f "$log"
    return 1
}
