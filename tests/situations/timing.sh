#!/usr/bin/env bash
# Situations of measuring: beside other work, on one processor, with little time, with kept times of another day.
#   tests/situations/timing.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

root=$(cd "$here/../.." && pwd)
fashion=$root/models/fashion
first_processor=$(python3 -c 'import os; print(min(os.sched_getaffinity(0)))')
own_cache() { export XDG_CACHE_HOME=$PWD/kept; } # of kept times

# beside COUNT ARGUMENTS...: the program on one processor, beside COUNT loops there that never rest.
beside() {
    local loops=() count=$1
    shift
    for _ in $(seq "$count"); do
        taskset -c "$first_processor" sh -c 'while :; do :; done' &
        loops+=($!)
    done
    code=0
    timeout 120 taskset -c "$first_processor" "$variant" "$@" >out.txt 2>err.txt || code=$?
    kill "${loops[@]}"
    [ $code -eq 0 ] || fault "exit $code: $*: $(tail -1 err.txt)"
}
value_of() { python3 -c 'import json, sys
found = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    found = found[int(key)] if key.lstrip("-").isdigit() else found[key]
print(json.dumps(found))' "$1" "$2"; }
expect() { [ "$(value_of "$1" "$2")" = "$3" ] || fault "$2 is $(value_of "$1" "$2"), expected $3"; }

busy_neighbours() {
    beside 3 bench -m "$fashion" --batch 4 --compare 12,2 --repeat 2 -t 1
    says "disturbed: [01] of 4 runs quiet, .*(waited|loop|switches)"
}
situation busy-neighbours "a depth table made beside three busy loops: each line says that it was disturbed, and by what" busy_neighbours

busy_neighbours_json() {
    beside 3 bench -m "$fashion" --batch 4 --repeat 2 -t 1 --json
    expect out.txt disturbed true
    [ "$(value_of out.txt why)" != null ] || fault "no reason"
}
situation busy-json "the same for a program that reads it" busy_neighbours_json

own_threads() {
    code=0
    taskset -c "$first_processor" "$variant" bench -m "$fashion" --batch 2 --repeat 1 -t 2 >out.txt 2>err.txt || fault "$(tail -1 err.txt)"
    is_silent_on "waited|involuntary"
}
situation own-threads "two threads on one processor are in each other's way: that is no other work" own_threads

kept_costs() {
    own_cache
    export VARIANT_WATCH=always
    succeeds plan -m "$fashion" -t 1 --json
    expect out.txt disturbed true
    says "disturbed machine; the next plan measures again"
    grep -q '"disturbed"' kept/variant/costs-*.json || fault "kept without a word"
    export VARIANT_WATCH=off
    succeeds plan -m "$fashion" -t 1 --json
    expect out.txt measured true
    expect out.txt disturbed false
    succeeds plan -m "$fashion" -t 1 --json
    expect out.txt measured false
    is_silent_on "warning"
}
situation kept-costs "a plan's times were kept from a disturbed machine: the next plan measures again, and the one after that finds them" kept_costs

kept_by_an_older() {
    own_cache
    export VARIANT_WATCH=off
    succeeds plan -m "$fashion" -t 1
    unset VARIANT_WATCH
    sed -i '/"disturbed"/d' kept/variant/costs-*.json
    succeeds plan -m "$fashion" -t 1 --json
    expect out.txt measured false
}
situation kept-by-an-older-version "times kept by a version that did not watch are taken as they are" kept_by_an_older

planned_generation() {
    own_cache
    export VARIANT_WATCH=always
    succeeds generate -m "$fashion" -t 1 --max-latency 60s -o a.png
    says "warning: .*disturbed machine"
    says "disturbed\)"
}
situation planned-generation "generate chooses its depth by times of a disturbed machine: it draws, and says so" planned_generation

tiny_sweep() {
    tiny_model m.safetensors
    VARIANT_WATCH=$1 run sweep -m m.safetensors -o s --depths 3,2,1 --bridges 1 --repeat "$2" --pictures 0 -t 1
    [ $code -eq 0 ] || fault "exit $code: $(tail -1 err.txt)"
}
sweep_marks() {
    tiny_sweep always 2
    says "disturbed: 2 of 2 runs"
    says "times of 3 points are disturbed"
    expect s/sweep.json points.0.disturbed true
    expect s/sweep.json points.0.runs.disturbed.0 '"VARIANT_WATCH=always"'
    grep -q "Disturbed: the times of 3 of 3 points" s/report.html || fault "the report is silent"
    [ "$(head -1 s/sweep.csv | tr ',' '\n' | grep -c '^disturbed$')" = 1 ] || fault "no column in the table"
}
situation sweep-marks "a sweep on a disturbed machine: table, sweep.json, sweep.csv and report say so" sweep_marks

sweep_recovers() {
    tiny_sweep always 2
    VARIANT_WATCH=off succeeds sweep -m m.safetensors -o s --depths 3,2,1 --bridges 1 --repeat 5 --pictures 0 -t 1
    is_silent_on "disturbed: [0-9]"
    expect s/sweep.json points.0.disturbed false
    expect s/sweep.json points.0.disturbed_runs 2
}
situation sweep-recovers "the same sweep with more runs on a quiet day: quiet runs give the medians, the mark goes" sweep_recovers

# edit_sweep CODE: Python on the state `s`, in s/sweep.json.
edit_sweep() { python3 -c "import json
s = json.load(open('s/sweep.json'))
$1
json.dump(s, open('s/sweep.json', 'w'))"; }
contradiction() {
    tiny_sweep off 1
    edit_sweep 'for i, ms in enumerate((5.0, 4.0, 4.5)):
    s["points"][i]["picture_ms"] = s["points"][i]["transformer_ms"] = ms
    s["points"][i].pop("contradicts", None)'
    succeeds sweep --report-only s
    says "d1-.*disturbed: slower than d2-n1-equidistant-cfg1.5, which runs more layers"
    [ "$(grep -c 'disturbed:' out.txt)" = 1 ] || fault "more points than one are marked"
    grep -q "slower than d2-n1" s/report.html || fault "the report is silent"
}
situation contradiction "an older sweep in which one layer took longer than two: its table and report say that this cannot be" contradiction

no_contradiction() {
    tiny_sweep off 1
    edit_sweep 'for i, ms in enumerate((5.0, 4.0, 3.0)):
    s["points"][i]["picture_ms"] = s["points"][i]["transformer_ms"] = ms'
    succeeds sweep --report-only s
    is_silent_on "disturbed"
    ! grep -q "isturbed:" s/report.html || fault "the report says disturbed"
}
situation no-contradiction "times in order, quiet runs: not a word of disturbance" no_contradiction

little_time() {
    tiny_model m.safetensors
    local start=$SECONDS
    succeeds bench -m m.safetensors -t 1 --compare 3,2,1 --repeat 1000 --time-budget 1s --json
    [ $((SECONDS - start)) -lt 60 ] || fault "$((SECONDS - start)) s"
    python3 -c 'import json
rows = json.load(open("out.txt"))
assert [row["depth"] for row in rows] == [3, 2, 1], rows
assert all(1 <= row["runs"] < 2000 and row["picture_ms"] > 0 for row in rows), rows' || fault "not every depth was run"
}
situation little-time "a thousand runs wanted, a second to spend: fewer runs, every depth" little_time

no_time() {
    succeeds bench -m "$fashion" -t 1 --compare 12,6,3,2 --repeat 3 --time-budget 1ms --json
    expect out.txt 3.runs 1
    expect out.txt 0.runs 1
}
situation no-time "not even time for one run each: each depth is run once all the same" no_time

progress() {
    tiny_model m.safetensors
    succeeds bench -m m.safetensors -t 1 --compare 3,1 --repeat 1 --batch 64 --json --progress lines
    [ "$(head -c 1 out.txt)" = "[" ] || fault "stdout is not JSON alone"
    grep -q "measuring what this machine could do" err.txt || fault "no progress"
    succeeds bench -m m.safetensors -t 1 --repeat 1
    [ ! -s err.txt ] || fault "stderr is no terminal, and has: $(head -1 err.txt)"
}
situation progress "progress goes to stderr, in lines where asked for, and nowhere where nobody looks" progress

mistyped() {
    refuses 2 bench -m m --time-budget 0s
    refuses 2 bench -m m --progress loud
    says "auto"
    refuses 2 bench kernels --time-budget 5s
    says "time-budget"
}
situation mistyped "values that make no sense are refused" mistyped

# demo ARGUMENTS...: the demo, copied beside these models, with this build and a small shape for d16.
demo() {
    cp "$root/demo.sh" .
    cat >shape.json <<'JSON'
{"seed": "D", "depth": 16, "width": 64, "heads": 1, "V": 32, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3, 4, 5, 6, 7, 8],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 1], "nres": 1}
JSON
    code=0
    VARIANT_BUILD=$(dirname "$variant") DEMO_ARCH=shape.json DEMO_SECONDS=5 \
        timeout 180 taskset -c "$first_processor" ./demo.sh >out.txt 2>err.txt || code=$?
    [ $code -eq 0 ] || fault "exit $code: $(tail -1 err.txt)"
    is_silent_on "error|fail|warn|no such|not found"
}
demo_shows() {
    mkdir models
    ln -s "$fashion" models/fashion
    demo
    [ "$(grep -cE '^ +(12|6|3|2) +12,12' out.txt)" = 4 ] || fault "not four depths of the shipped model"
    [ "$(grep -cE '^ +(16|8|4|2) +16,16' out.txt)" = 4 ] || fault "not four depths of d16"
    grep -q "peak memory" out.txt || fault "no memory"
    grep -q "out/fashion_depth_12.png" out.txt && [ -s out/fashion_depth_2.png ] && [ -s out/fashion.png ] || fault "no pictures, or not told where"
}
situation demo-shows "the demo: a line of time and memory for each depth, where the pictures are, nothing that looks like an error" demo_shows

demo_without_models() {
    demo
    [ "$(grep -cE '^ +(16|8|4|2) +16,16' out.txt)" = 4 ] || fault "not four depths"
}
situation demo-without-models "a model of the demo is not there: the rest is shown" demo_without_models

demo_marks() {
    export VARIANT_WATCH=always
    demo
    [ "$(grep -cE '^ +[0-9]+ +16,16.*disturbed: ' out.txt)" = 4 ] || fault "not every line is marked"
}
situation demo-marks "the demo beside other work: every line that was disturbed says so" demo_marks

demo_build_fails() {
    mkdir bin tools
    cp "$root/demo.sh" .
    cp "$root/tools/install-deps.sh" tools
    printf '#!/bin/sh\necho "a compiler complains: $*"\nexit 1\n' >bin/cmake
    chmod +x bin/cmake
    code=0
    PATH=$PWD/bin:$PATH ./demo.sh >out.txt 2>err.txt || code=$?
    [ $code -eq 1 ] || fault "exit $code, expected 1"
    says "building failed; all of it is in build/demo.log"
    says "a compiler complains"
    ! grep -q complains out.txt || fault "the compiler is heard on stdout"
}
situation demo-build-fails "building fails: the compiler's last words, and the name of the file with all of them" demo_build_fails

situations_end
