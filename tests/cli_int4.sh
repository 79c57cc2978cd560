#!/usr/bin/env bash
# cli_int4.sh BUILD_FOLDER - a model in int4: `variant convert --type int4`, with and without a data set to measure
# on; what inspect says of such a file, what runs it as it is and what multiplies it out; and what is refused.
. "$(dirname "$0")/cli.sh"

says() { grep -q -- "$1" out.txt err.txt || bad "not said: $1"; }
# refuses STATUS TEXT WORDS... : that exit status, one line with the text, no file
refuses() {
    wanted=$1 text=$2
    shift 2
    "$variant" "$@" >out.txt 2>err.txt
    [ $? = "$wanted" ] || bad "not $wanted: $*"
    [ "$(grep -vcE ': (note|warning): ' err.txt)" = 1 ] || bad "not one line: $*"
    grep -q -- "$text" err.txt || bad "not said: $text"
    [ ! -e no.safetensors ] && [ ! -e no.png ] || bad "left behind: $*"
}

cat >tiny.json <<'EOF'
{"seed": "A", "depth": 4, "width": 128, "heads": 2, "V": 64, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 2], "nres": 1}
EOF
run synth tiny.json -o tiny.safetensors
printf 'red\ngreen\nblue\n' >names.txt
run convert tiny.safetensors --classes names.txt -o m.safetensors
mkdir -p data/red data/green
for class in red green; do
    run generate -m m.safetensors --class 0 -n 6 -s ${#class} -o "data/$class/p_%02d.png"
done

# ---- without data: what --weights int4 makes of the float32 file, on both backends
run convert m.safetensors --type int4 -o plain.safetensors
run convert m.safetensors --type int8 -o eight.safetensors
for backend in cpu ref; do
    run generate -m m.safetensors --weights int4 --backend $backend --class 1 -s 5 -o a.png --tokens-out a.safetensors
    run generate -m plain.safetensors --weights int4 --backend $backend --class 1 -s 5 -o b.png --tokens-out b.safetensors
    [ ! -s err.txt ] || bad "an int4 file run as int4 was warned of"
    python3 - a.safetensors b.safetensors <<'EOF' >out.txt 2>err.txt || bad "tokens of the file and of the run differ"
import json, struct, sys
def tokens(path):
    data = open(path, 'rb').read()
    size = struct.unpack('<Q', data[:8])[0]
    at = json.loads(data[8:8 + size])['tokens']['data_offsets']
    return data[8 + size + at[0]:8 + size + at[1]]
sys.exit(tokens(sys.argv[1]) != tokens(sys.argv[2]))
EOF
done
run inspect plain.safetensors
says '^  weights        int4: 21 products; int8: 2 products, 0 of them with one scale a row'
# 4 blocks and their AdaLN, 18 C^2 numbers each, and the head's, 2 C^2, at 9 / 16 bytes; both have a scale a row
saved=$(($(stat -c %s eight.safetensors) - $(stat -c %s plain.safetensors)))
numbers=$(((4 * 18 + 2) * 128 * 128))
[ $saved -gt $((numbers * 7 / 16 - 8192)) ] && [ $saved -lt $((numbers * 7 / 16 + 8192)) ] || bad "an int4 file saves $saved bytes of int8's"
run generate -m plain.safetensors --weights int4 --class 1 -s 5 -o set.png --json
says '"weights": "int4"'
run generate --from set.png -m plain.safetensors -o again.png
cmp -s set.png again.png || bad "settings in the picture do not make it again"
ok

# ---- with data
run convert m.safetensors --type int4 --calibrate data --calibrate-pictures 8 --holdout 0 -o c.safetensors
says '21 products in int4'
says '^[0-2] of 2 products with one scale a row'
run convert m.safetensors --type int4 --calibrate data --calibrate-pictures 8 --holdout 0 -o c2.safetensors --json
cmp -s c.safetensors c2.safetensors || bad "the same data gave another file"
python3 - <<'EOF' 2>err.txt || bad "the report is not as documented"
import json
report = json.load(open('out.txt'))
coarse = [w for w in report['weights'] if w['type'] == 'int4']
assert len(report['weights']) == 23 and len(coarse) == 21
for w in (w for w in coarse if "rows_seen" in w):
    assert 0 < w["error_nearest"] < 0.2 and 0 < w["error_made_up"] < 0.2, w
assert sum(w.get("error_made_up", 1) < w.get("error_nearest", 0) for w in coarse) >= 12, coarse
EOF
run convert m.safetensors --type int4 --calibrate data --calibrate-pictures 8 --holdout 0 -o t.safetensors -t 1
cmp -s c.safetensors t.safetensors || bad "one thread gave another file"
run generate -m c.safetensors --weights int4 --class 1 -s 5 -n 2 -o c_%d.png
[ ! -s err.txt ] || bad "an int4 file run as int4 was warned of"
# packed, it draws the same
run convert c.safetensors --pack --weights int4 -o packed.safetensors
run generate -m packed.safetensors --class 1 -s 5 -n 2 -o p_%d.png
cmp -s c_0.png p_0.png && cmp -s c_1.png p_1.png || bad "the packed file draws otherwise"
ok

# ---- as other numbers: multiplied out, said in one line
for weights in f32 bf16 int8; do
    run generate -m c.safetensors --weights $weights --class 1 -s 5 -o f.png
    [ "$(wc -l <err.txt)" = 1 ] || bad "not one line about int4 weights"
    says "23 weights are int4 in this file: what runs as $weights"
done
run convert c.safetensors -o out.safetensors --type f16
run generate -m out.safetensors --class 1 -s 5 -o g.png
run generate -m eight.safetensors --weights int4 --class 1 -s 5 -o h.png
says '23 weights are int8 in this file: what runs as int4'
ok

# ---- what is refused
refuses 1 'int4 already' convert c.safetensors --type int4 -o no.safetensors
refuses 1 'int4 already' convert c.safetensors --type int8 -o no.safetensors
refuses 2 'kv int4: expected f32, bf16 or int8' generate -m m.safetensors --kv int4 -o no.png
refuses 2 'precision int4: expected f32 or bf16' train supernet --model m.safetensors --data data --precision int4 -o no.png
python3 - <<'EOF'
import json, struct
data = open('c.safetensors', 'rb').read()
size = struct.unpack('<Q', data[:8])[0]
head, body = json.loads(data[8:8 + size]), data[8 + size:]
name = 'blocks.1.ffn.fc1.weight'
def write(path, head, body):
    text = json.dumps(head).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + body)
shape = json.loads(json.dumps(head)); n, k = shape[name]['shape']; shape[name]['shape'] = [n * 2, k // 2]
write('shape.safetensors', shape, body)
at = head[name]['data_offsets'][0]
write('nan.safetensors', head, body[:at] + b'\xff\xff\xff\xff' + body[at + 4:])
EOF
refuses 1 'blocks.1.ffn.fc1.weight is U8, which is not read' generate -m shape.safetensors --weights int4 -o no.png
refuses 1 'blocks.1.ffn.fc1.weight: the scale of row 0 is' generate -m nan.safetensors --weights int4 -o no.png
ok

echo "cli_int4: $passed parts, $failed failures"
[ "$failed" = 0 ]
