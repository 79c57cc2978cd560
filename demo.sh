#!/usr/bin/env bash
# Installs what is missing, builds, and makes pictures at several depths from the models that come with it: how long each depth
# takes and how much memory; then the same of a real size on synthetic weights. Pictures go to out/, the compiler's words to
# build/demo.log. About a minute of computing on a quiet machine, more where other work has the processors: each depth is
# run at least once.
set -euo pipefail
cd "$(dirname "$0")"

build=${VARIANT_BUILD:-build/release} # a finished build, where VARIANT_BUILD names one: nothing is installed and built then
out=${DEMO_OUT:-out}
seconds=${DEMO_SECONDS:-60} # of timing the real size, at most; a shipped model has less than half of it
log=build/demo.log
# NAME:DEPTHS, shown in this order; one whose files are not there is passed over.
models=(cartoon:8,4,2 fashion:12,6,3,2)

build_program() {
    mkdir -p build
    [ -x "$build/variant" ] || echo "building (a minute or two; the compiler's words: $log)"
    if ! { cmake --preset release && cmake --build --preset release --target variant; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "demo: building failed; all of it is in $log" >&2
        exit 1
    fi
    echo "built: $build/variant"
}

# table JSON PICTURES: a line a depth of what `bench --compare --json` printed.
table() {
    tr '{' '\n' <<<"$1" | awk -v batch="$2" '
        function field(name) { return match($0, "\"" name "\": \"?[^\"}]*") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) : "" }
        function number(name,   text) { text = field(name); sub(/^"/, "", text); return text + 0 }
        function words(name,   text) { text = field(name); sub(/^"/, "", text); return text }
        BEGIN { printf "  %-6s %-32s %12s %14s %14s %12s\n", "depth", "layers by scale", "ms/picture", batch == 1 ? "kv at most" : "kv, ten", "kv at end", "peak memory" }
        /"depth"/ {
            why = ""
            if ($0 ~ /"disturbed": true/) why = "  disturbed: " words("why")
            printf "  %-6d %-32s %12.2f %14d %14d %9.1f MB%s\n", number("depth"), words("depths"), number("picture_ms"),
                number("kv_bytes"), number("kv_end_bytes"), number("peak_rss_bytes") / 1e6, why
        }'
}

# The slowest of the depths, in whole milliseconds a picture.
slowest() { grep -oE '"picture_ms": [0-9]+' <<<"$1" | awk '$2 > most { most = $2 } END { print most + 0 }'; }

# show NAME DEPTHS: times and sheets of models/NAME.
show() {
    local name=$1 depths=$2 depth json count=100
    compgen -G "models/$name/*.safetensors" >/dev/null || return 0
    echo
    echo "models/$name, ten pictures at a time, at each depth of the late scales:"
    json=$("$build/variant" bench -m "models/$name" --batch 10 --compare "$depths" --repeat 5 --time-budget $((seconds * 2 / 5))s --json --progress none)
    table "$json" 10
    [ "$(slowest "$json")" -le 40 ] || count=20 # fewer where a hundred would take long
    [ "$(slowest "$json")" -le 250 ] || count=10
    for depth in ${depths//,/ }; do
        "$build/variant" generate -m "models/$name" --class all -n $count --batch 10 --depth "$depth" --grid --zoom 2 -s 1 \
            -o "$out/${name}_depth_$depth.png" --json >/dev/null
    done
    "$build/variant" generate -m "models/$name" --class all -n 10 --batch 10 --compare "$depths" --zoom 2 -s 1 -o "$out/$name.png" --json >/dev/null
    echo "  pictures, $count of each depth: $out/${name}_depth_${depths%%,*}.png and so on; the depths beside each other: $out/$name.png"
}

if [ -z "${VARIANT_BUILD:-}" ]; then
    tools/install-deps.sh
    echo "installed: the Debian packages that building takes (tools/install-deps.sh lists them)"
    build_program
fi
mkdir -p "$out"
for model in "${models[@]}"; do show "${model%%:*}" "${model#*:}"; done

echo
echo "A real size, VAR-d16 at 256x256 (310 M parameters), on SYNTHETIC weights: time and memory are real, pictures would be noise."
progress=lines
[ ! -t 2 ] || progress=auto
json=$("$build/variant" bench --arch "${DEMO_ARCH:-var-d16}" --weights bf16 --bridge 6 --compare 16,8,4,2 --repeat 3 --time-budget "${seconds}s" --json --progress "$progress")
table "$json" 1
if grep -q '"disturbed": true' <<<"$json"; then
    echo "  disturbed: other work was in the way; on a quiet machine the times are shorter and in order"
fi
