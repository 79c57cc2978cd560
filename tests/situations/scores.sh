#!/usr/bin/env bash
# Situations of scoring: statistics that others made, networks in folders, few pictures, broken weights, what a report says.
#   tests/situations/scores.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# Pictures of two classes, a network that has seen them, and a folder to judge. One thread: several crawl on a busy machine.
prepare() {
    python3 -c 'import inputs
inputs.classes("data/train", ["bag", "shoe"], 6, width=8, height=8)
inputs.classes("data/test", ["bag", "shoe"], 6, width=8, height=8, seed=1)' || fault "no pictures"
    tiny_classifier run data
}
judged=(eval --pictures data/test/bag -t 1 --features run/classifier.safetensors)

# statistics FILE CODE: an .npz whose mu and sigma the Python code in CODE made of n = 64 features: names mu, sigma (lists), and kind.
statistics() {
    python3 - "$1" "$2" <<'P' || fault "no statistics"
import random, struct, sys, zipfile
n, kind = 64, "d"
mu = [0.0] * n
sigma = [[float(i == j) for j in range(n)] for i in range(n)]
def samples(count):
    r = random.Random(3)
    x = [[r.gauss(3, 1 + j / n) for j in range(n)] for _ in range(count)]
    m = [sum(row[j] for row in x) / count for j in range(n)]
    return m, [[sum((row[i] - m[i]) * (row[j] - m[j]) for row in x) / (count - 1) for j in range(n)] for i in range(n)]
exec(sys.argv[2])
def npy(shape, values):
    text = "{'descr': '<f%d', 'fortran_order': False, 'shape': %s, }" % ({"d": 8, "f": 4}[kind], shape)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + struct.pack("<%d%s" % (len(values), kind), *values)
rows = sigma if isinstance(sigma[0], list) else [sigma]
shape = "(%d, %d)" % (len(rows), len(rows[0])) if isinstance(sigma[0], list) else "(%d,)" % len(sigma)
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    archive.writestr("mu.npy", npy("(%d,)" % len(mu), mu))
    archive.writestr("sigma.npy", npy(shape, [x for row in rows for x in row]))
P
}

no_covariance() {
    prepare
    statistics a.npz "sigma[3][5] = 0.25"
    refuses 1 "${judged[@]}" --reference a.npz
    says "a.npz: sigma is no covariance: it is not symmetric .0.25 at row 3, column 5.*smallest eigenvalue"
    statistics b.npz "sigma = [[-x for x in row] for row in sigma]"
    refuses 1 "${judged[@]}" --reference b.npz
    says "smallest eigenvalue is -1"
    statistics c.npz "sigma[0][1] = sigma[1][0] = 1.5"
    refuses 1 "${judged[@]}" --reference c.npz
    says "smallest eigenvalue is -0.5, the largest 2.5"
    statistics d.npz "kind = 'f'; sigma[7][7] = -0.01"
    refuses 1 "${judged[@]}" --reference d.npz
    says "smallest eigenvalue is -0.01"
    [ -s out.txt ] && fault "a score all the same"
    return 0
}
situation no-covariance "statistics whose sigma is lopsided, negative or correlates above 1: refused with the smallest eigenvalue" no_covariance

no_numbers() {
    prepare
    statistics a.npz "sigma[2][4] = float('nan')"
    refuses 1 "${judged[@]}" --reference a.npz
    says "sigma holds -?nan at row 2, column 4"
    statistics b.npz "mu[9] = float('inf')"
    refuses 1 "${judged[@]}" --reference b.npz
    says "mu holds inf at number 9"
}
situation no-numbers "statistics with NaN or infinity in them: refused with the place" no_numbers

other_shapes() {
    prepare
    statistics a.npz "sigma = [1.0] * n"
    refuses 1 "${judged[@]}" --reference a.npz
    says "sigma is 64, expected 64 x 64"
    statistics b.npz "sigma = sigma[:63]"
    refuses 1 "${judged[@]}" --reference b.npz
    says "sigma is 63 x 64, expected 64 x 64 to go with mu"
    statistics c.npz "mu = mu * 32; sigma = [1.0]"
    refuses 1 "${judged[@]}" --reference c.npz
    says "mu of 2048 features, but the network has 64"
}
situation other-shapes "statistics of variances only, a row short, or of another network's features: each said" other_shapes

rounded_statistics() {
    prepare
    statistics a.npz "mu, sigma = samples(30)"
    succeeds "${judged[@]}" --reference a.npz
    statistics b.npz "mu, sigma = samples(30); kind = 'f'"
    succeeds "${judged[@]}" --reference b.npz
    says "FID.classifier. +[0-9.]+ \+- [0-9.]+"
    statistics c.npz "sigma = [[0.0] * n for _ in range(n)]"
    succeeds "${judged[@]}" --reference c.npz
}
situation rounded-statistics "real statistics, singular (fewer pictures than features), rounded to float32, or of one picture over and over: read" rounded_statistics

statistics_by_content() {
    prepare
    statistics a.npz "pass"
    mv a.npz published.dat
    succeeds "${judged[@]}" --reference published.dat
    for name in kept kept.ref kept.npz kept.png; do
        succeeds "${judged[@]}" --reference data --save-reference "$name"
        grep -v settings out.txt >first.txt
        succeeds "${judged[@]}" --reference "$name"
        says "of +6 pictures against 12 of $name"
        grep -v -e settings -e '^of' out.txt | cmp -s - <(grep -v '^of' first.txt) || fault "$name: other scores"
    done
    head -c 2000 kept >torn.npz
    refuses 1 "${judged[@]}" --reference torn.npz
}
situation statistics-by-content "kept or published statistics under any name are read back; a torn file is an error" statistics_by_content

network_in_a_folder() {
    prepare
    judge=(eval --pictures data/test/bag -t 1 --reference data)
    succeeds "${judge[@]}" --features run
    cp out.txt first.txt
    succeeds "${judge[@]}" --features run/
    same_bytes out.txt first.txt
    mkdir -p shelf model
    cp run/classifier.safetensors shelf/my-network.safetensors
    tiny_model shelf/model.safetensors 2
    succeeds "${judge[@]}" --features shelf
    cp run/classifier.safetensors shelf/another.safetensors
    refuses 1 "${judge[@]}" --features shelf
    says "several feature networks, another.safetensors and my-network.safetensors"
    refuses 1 "${judge[@]}" --features model
    says "model: holds no feature network: expected classifier.safetensors"
    refuses 1 "${judge[@]}" --features shelf/model.safetensors
    says "not a feature network"
    cp shelf/model.safetensors run/classifier.safetensors model/
    succeeds eval -m model -n 4 --reference data -t 1
    succeeds classify -m run data/test/bag/00.png
    succeeds sweep -m model -o out --depths 3,1 --bridges 1 --repeat 1 --pictures 0 --samples 6 --reference data --features run -t 1
}
situation network-in-a-folder "--features names a training's or a model's folder, for eval and sweep alike; an unclear folder is an error that names files" network_in_a_folder

another_network() {
    prepare
    succeeds "${judged[@]}" --reference data --save-reference kept
    "$variant" train classifier --data data -o other --side 8 --crop 0 --mult 1,2 --steps 2 --batch 4 -t 1 -q -s 5 >/dev/null 2>&1
    refuses 1 eval --pictures data/test/bag -t 1 --features other --reference kept
    says "statistics of the network classifier"
    refuses 1 "${judged[@]}" --reference data --resize tensorflow
    says "resized can be chosen for the Inception"
    refuses 2 "${judged[@]}" --reference data --resize lanczos
    says "pytorch or tensorflow|pytorch, tensorflow"
}
situation another-network "statistics of another network, or a way to resize that a classifier does not have: refused" another_network

spreads() {
    prepare
    succeeds "${judged[@]}" --reference data --json --draws 30
    cp out.txt one.txt
    OMP_NUM_THREADS=3 succeeds eval --pictures data/test/bag --features run --reference data --json --draws 30 -t 2
    same_bytes out.txt one.txt
    python3 - <<'P' || fault "spreads are missing in the JSON"
import json
scores = json.load(open("one.txt"))["scores"]
assert scores["draws"] == 30
for name in ("frechet", "precision"):
    assert scores[name + "_spread"] > 0, name
P
    succeeds "${judged[@]}" --reference data --json --draws 30 -s 7
    other_bytes out.txt one.txt
    succeeds "${judged[@]}" --reference data --draws 0
    is_silent_on "FID.*\+-"
    refuses 2 "${judged[@]}" --reference data --draws 1
    says "from 2 to 10000"
}
situation spreads "every score has its spread, of the seed alone and the same on any number of threads; --draws 0 leaves it out" spreads

few_pictures() {
    prepare
    succeeds "${judged[@]}" --reference data
    says "6 samples for 64 features: the covariance is singular"
    says "precision and recall of 6 samples a side are rough"
    python3 -c 'import inputs
inputs.classes("many/train", ["bag"], 80, width=8, height=8)
inputs.classes("many/test", ["bag"], 70, width=8, height=8, seed=1)'
    succeeds eval --pictures many/train/bag --features run --reference many -t 1
    says "warning: 70 real samples for 64 features, fewer than 10 times as many"
    says "precision +[01].[0-9]+ \+- 0.0[0-9]+"
}
situation few-pictures "few pictures on either side: warned of, and a precision of 1 from 70 is not given without its spread" few_pictures

# Every option of a request, from --help: it changes a line of settings, or is known to change no score.
settings_in_the_report() {
    prepare
    tiny_model m.safetensors 2
    cp m.safetensors other.safetensors
    request=(eval -m m.safetensors --features run -n 4 -t 1)
    succeeds "${request[@]}"
    grep '^settings' out.txt >plain.txt || fault "no settings"
    declare -A value=([class]=1 [seed]=5 [cfg-scale]=0.5 [top-k]=7 [top-p]=0.5 [greedy]= [smooth]= [depth]=2 [bridge]=1 [depths]=3,3,1
        [layers]=0,2 [weights]=int8 [kv]=int8 [backend]=ref [count]=5 [model]=other.safetensors [tokenizer]=other.safetensors
        [cfg-scales]=0.5,1,1 [cfg-late]=3 [uncond-depth]=2 [uncond-depths]=3,3,1 [uncond-layers]=0,2
        [sides]=1,2,4 [heads]=1 [draws]=7 [seeds]=5-6 [split]=train [holdout]=0.5 [fit]=pad [alpha]=black)
    declare -A with=([bridge]="--depth 2" [cfg-late]="--uncond-depth 2" [split]="--reference data" [holdout]="--reference data" [fit]="--reference data"
        [alpha]="--reference data") # what an option needs to have an effect
    # part, decoder: need a file of several models, or of two decoders; beside: its settings stand in a line of their own
    local none=" part decoder beside pictures reconstruct reference reference-count save-reference save-stats features resize side channels batch retain-kv threads no-verify sandbox json help "
    local tried=0 name
    for name in $("$variant" eval --help | grep -oE '^ .{0,8}--[a-z-]+( [A-Z0-9]|,|$|  )?|, --[a-z-]+' | grep -oE -- '--[a-z-]+' | cut -c3- | sort -u); do
        [[ $none == *" $name "* ]] && continue
        [ -n "${value[$name]+x}" ] || fault "--$name: does it change a score? give this test a value for it, or name it among those that do not"
        # shellcheck disable=SC2086
        succeeds "${request[@]}" ${with[$name]-}
        grep '^settings' out.txt >before.txt
        # shellcheck disable=SC2086
        succeeds "${request[@]}" ${with[$name]-} "--$name" ${value[$name]}
        grep '^settings' out.txt >after.txt
        other_bytes before.txt after.txt
        tried=$((tried + 1))
    done
    [ $tried -ge 22 ] || fault "only $tried options were found"
    succeeds "${request[@]}" --smooth --json
    says '"smooth":[[:space:]]*true'
}
situation settings-in-the-report "whatever option changes a score, the report's settings change with it" settings_in_the_report

spoil() { # MODEL TENSOR INTO: number 5 is NaN
    python3 -c 'import inputs, sys
file = inputs.Safetensors(sys.argv[1])
name = [x for x in file.names() if x.endswith(sys.argv[2])][0]
file.set_number(name, 5, float("nan"))
file.write(sys.argv[3])' "$1" "$2" "$3" || fault "no tensor $2"
}

nan_is_no_score() {
    prepare
    tiny_model m.safetensors 2
    spoil m.safetensors decoder.conv_in.weight bad.safetensors
    run reconstruct -m bad.safetensors data/test/bag/00.png -t 1
    [ $code -eq 1 ] || fault "exit $code of a decoder with NaN"
    says "not finite|nan"
    is_silent_on "[0-9] dB"
    run reconstruct -m bad.safetensors --data data -t 1
    [ $code -eq 1 ] || fault "exit $code of a decoder with NaN, a data set"
    run eval -m bad.safetensors --reconstruct data --features run -t 1
    [ $code -eq 1 ] || fault "exit $code of eval --reconstruct"
    is_silent_on "^PSNR"
    spoil run/classifier.safetensors conv_out.weight network.safetensors
    refuses 1 eval --pictures data/test/bag --features network.safetensors --reference data -t 1
    says "not finite|nan"
}
situation nan-is-no-score "NaN in a tokenizer or in the network that judges: an error, and no PSNR, FID or 100 dB" nan_is_no_score

plan_on_few() {
    prepare
    mkdir model
    tiny_model model/model.safetensors 2
    cp run/classifier.safetensors model/
    export XDG_CACHE_HOME=$PWD/cache
    succeeds sweep -m model -o out --depths 3,2,1 --bridges 1 --repeat 1 --pictures 0 --samples 12 --reference data -t 1
    says "\+-"
    grep -q '"format":[[:space:]]*2' out/sweep.json || fault "no format in sweep.json"
    grep -q 'samples for 64 features' out/report.html || fault "the report does not warn"
    # the shallowest is lucky by less than its spread
    python3 - <<'P'
import json
sweep = json.load(open("out/sweep.json"))
for point in sweep["points"]:
    point["quality"]["frechet"] = 5.0 + point["depth"] / 10
    point["quality"]["frechet_spread"] = 1.0
json.dump(sweep, open("lucky.json", "w"))
for point in sweep["points"]:
    point["quality"]["frechet_spread"] = 0.01
json.dump(sweep, open("sure.json", "w"))
for point in sweep["points"]:
    del point["quality"]["frechet_spread"]
del sweep["format"]
json.dump(sweep, open("old.json", "w"))
P
    succeeds plan -m model --sweep lucky.json -t 1
    says "fits: .*--depth 3"
    says "within its spread"
    succeeds plan -m model --sweep sure.json -t 1
    says "fits: .*--depth 1"
    succeeds plan -m model --sweep old.json -t 1
    says "fits: .*--depth 1"
    says "without a spread"
}
situation plan-on-few "a sweep of a dozen pictures: its plan does not take the shallowest for a lucky score; older sweeps are read, with a word" plan_on_few

older_sweep() {
    prepare
    mkdir model
    tiny_model model/model.safetensors 2
    cp run/classifier.safetensors model/
    command=(sweep -m model -o out --bridges 1 --repeat 1 --pictures 0 --samples 6 --reference data -t 1)
    succeeds "${command[@]}" --depths 3,1
    python3 - <<'P'
import json
sweep = json.load(open("out/sweep.json"))
del sweep["format"], sweep["settings"]["quality"]["draws"]
for point in sweep["points"]:
    quality = point["quality"]
    for key in [k for k in quality if k.endswith("spread") and k != "inception_score_spread"] + ["draws", "warnings"]:
        quality.pop(key, None)
json.dump(sweep, open("out/sweep.json", "w"))
P
    succeeds sweep --report-only out
    succeeds "${command[@]}" --depths 3,2,1
    grep -q '"format":[[:space:]]*2' out/sweep.json || fault "the format is not told"
    python3 -c 'import json; s = json.load(open("out/sweep.json")); s["format"] = 9; json.dump(s, open("out/sweep.json", "w"))'
    refuses 1 "${command[@]}" --depths 3,1
    says "format 9, by a newer version"
}
situation older-sweep "a folder of an older sweep goes on and is drawn again; one of a newer version is refused" older_sweep

one_real_picture() {
    prepare
    python3 -c 'import inputs; inputs.classes("few", ["bag"], 12, width=8, height=8)'
    refuses 2 "${judged[@]}" --reference few
    says "few: a reference of 1 picture: scores need at least 2"
    is_silent_on "^FID"
    succeeds "${judged[@]}" --reference few --split all
    refuses 2 eval --pictures data/test/bag/00.png --features run --reference data -t 1
    says "00.png: no data set: expected a folder"
}
situation one-real-picture "a reference of which a single picture is held out: no distance from one picture; a picture where a folder is meant" one_real_picture

other_real_pictures() {
    prepare
    mkdir model
    tiny_model model/model.safetensors 2
    cp run/classifier.safetensors model/
    command=(sweep -m model --bridges 1 --repeat 1 --pictures 0 --samples 6 -t 1)
    succeeds "${command[@]}" -o out --depths 3 --reference data
    succeeds "${command[@]}" -o out --depths 3,2 --reference data
    cp -p data/test/bag/00.png data/test/shoe/00.png
    refuses 1 "${command[@]}" -o out --depths 3,2,1 --reference data
    says "another reference_hash"
    python3 -c 'import json
sweep = json.load(open("out/sweep.json")); del sweep["settings"]["quality"]["reference_hash"]; json.dump(sweep, open("out/sweep.json", "w"))'
    succeeds "${command[@]}" -o out --depths 3,2,1 --reference data
    succeeds "${judged[@]}" --reference data --save-reference kept
    succeeds "${command[@]}" -o kept-out --depths 3 --reference kept
    succeeds "${judged[@]}" --reference data --save-reference kept --split train
    refuses 1 "${command[@]}" -o kept-out --depths 3,1 --reference kept
    says "another reference_hash"
    succeeds "${judged[@]}" --reference kept --split train
    says "note: --reference is statistics.*--split and --reference-count change nothing"
}
situation other-real-pictures "pictures or statistics overwritten under their name: a sweep does not put scores beside other references together" other_real_pictures

huge_statistics() {
    prepare
    statistics huge.npz "
mu = [1e200] * n
sigma = [[1e300 * (i == j) for j in range(n)] for i in range(n)]"
    refuses 1 "${judged[@]}" --reference huge.npz
    says "Frechet distance is not finite"
}
situation huge-statistics "means whose square is infinite: an error, not a report without its distance" huge_statistics

situations_end
