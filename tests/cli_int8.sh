#!/usr/bin/env bash
# cli_int8.sh BUILD_FOLDER - a model as integers: `variant convert --type int8`, with and without a data set to measure on;
# what inspect says of such a file, what runs it as it is and what multiplies it out; and what is refused.
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
mkdir -p data/red data/green data/violet
for class in red green violet; do
    run generate -m m.safetensors --class 0 -n 3 -s ${#class} -o "data/$class/p_%02d.png"
done

# ---- without data: what --weights int8 makes of the float32 file
run convert m.safetensors --type int8 -o plain.safetensors
run generate -m m.safetensors --weights int8 --class 1 -s 5 -o a.png --tokens-out a.safetensors
run generate -m plain.safetensors --weights int8 --class 1 -s 5 -o b.png --tokens-out b.safetensors
[ ! -s err.txt ] || bad "an int8 file run as int8 was warned of"
python3 - a.safetensors b.safetensors <<'EOF' >out.txt 2>err.txt || bad "tokens of the file and of the run differ"
import json, struct, sys
def tokens(path):
    data = open(path, 'rb').read()
    size = struct.unpack('<Q', data[:8])[0]
    at = json.loads(data[8:8 + size])['tokens']['data_offsets']
    return data[8 + size + at[0]:8 + size + at[1]]
sys.exit(tokens(sys.argv[1]) != tokens(sys.argv[2]))
EOF
run inspect plain.safetensors
says 'int8: 23 products, 0 of them with one scale a row'
[ "$(stat -c %s plain.safetensors)" -lt $(($(stat -c %s m.safetensors) / 2)) ] || bad "an int8 file is not much smaller"
ok

# ---- with data
run convert m.safetensors --type int8 --calibrate data --calibrate-pictures 5 --holdout 0 -o c.safetensors
says '23 products'
says 'measured on 5 pictures'
says 'does not know run without a class'
says 'blocks.3.ffn.fc2.weight'
run convert m.safetensors --type int8 --calibrate data --calibrate-pictures 5 --holdout 0 -o c2.safetensors --json
cmp -s c.safetensors c2.safetensors || bad "the same data gave another file"
python3 - <<'EOF' 2>err.txt || bad "the report is not as documented"
import json
report = json.load(open('out.txt'))
assert report['pictures'] == 5 and len(report['weights']) == 23
for w in report['weights']:
    assert w['scale_of'] in ('rows', 'blocks') and 0 < w['error'] < 0.1, w
    assert w['error_blocks_folded'] <= w['error_blocks'] and w['error_rows_folded'] <= w['error_rows'], w
    norm = w['weight'].endswith(('mat_qkv.weight', 'fc1.weight')) or w['weight'] == 'head.weight'
    assert norm or w['folded'] == 0, w
EOF
for threads in 1 2; do
    run convert m.safetensors --type int8 --calibrate data --calibrate-pictures 5 --holdout 0 -o t.safetensors -t $threads
    cmp -s c.safetensors t.safetensors || bad "$threads threads gave another file"
done
run generate -m c.safetensors --weights int8 --class 1 -s 5 -n 2 -o c_%d.png
[ ! -s err.txt ] || bad "an int8 file run as int8 was warned of"
run inspect c.safetensors
says 'measured on 5 pictures'
run inspect c.safetensors --json
says '"scale_of"'
run convert m.safetensors --type int8 --calibrate data --row-error 0 -o blocks.safetensors
says '^0 of 23 products with one scale a row'
run convert m.safetensors --type int8 --calibrate data --row-error 100 -o rows.safetensors
says '^23 of 23 products with one scale a row'
ok

# ---- as other numbers: multiplied out, said in one line
for weights in f32 bf16; do
    run generate -m c.safetensors --weights $weights --class 1 -s 5 -o f.png
    [ "$(wc -l <err.txt)" = 1 ] || bad "not one line about int8 weights"
    says "23 weights are int8 in this file: what runs as $weights"
done
run convert c.safetensors -o out.safetensors --type bf16
says '23 weights are int8'
run generate -m out.safetensors --class 1 -s 5 -o g.png
ok

# ---- what is refused
refuses 1 'int8 already' convert c.safetensors --type int8 -o no.safetensors
[ "$(wc -l <err.txt)" = 1 ] || bad "a warning before the error"
# nothing runs that is only looked at
run inspect c.safetensors
[ ! -s err.txt ] && ok || bad "inspect warns of what would run"
refuses 2 'belongs to --type int8' convert m.safetensors --calibrate data -o no.safetensors
refuses 2 'belongs to --type int8' convert m.safetensors --type bf16 --calibrate data -o no.safetensors
refuses 2 'belongs to --calibrate' convert m.safetensors --type int8 --row-error 2 -o no.safetensors
refuses 2 'calibrate-pictures' convert m.safetensors --type int8 --calibrate data --calibrate-pictures 0 -o no.safetensors
refuses 1 'absent' convert m.safetensors --type int8 --calibrate absent -o no.safetensors
mkdir empty
refuses 1 'empty' convert m.safetensors --type int8 --calibrate empty -o no.safetensors
run synth tiny.json --only transformer -o var.safetensors
refuses 1 'needs a tokenizer' convert var.safetensors --type int8 --calibrate data -o no.safetensors
run synth tiny.json --only tokenizer -o vae.safetensors
refuses 1 'has none' convert vae.safetensors --type int8 -o no.safetensors
run convert var.safetensors --tokenizer vae.safetensors --type int8 --calibrate data -o both.safetensors
run generate -m both.safetensors --weights int8 --class 0 -o h.png
# a preview decoder joins an int8 file, whose integers stay
mkdir -p two
run train decoder --data data --tokenizer both.safetensors -o two --steps 1 --batch 2 -t 1
run generate -m two/model.safetensors --weights int8 --class 0 -o two.png
cmp -s h.png two.png || bad "the model with a preview decoder draws otherwise"
# a file whose scales are gone, of another length, or not finite
python3 - <<'EOF'
import json, struct
data = open('c.safetensors', 'rb').read()
size = struct.unpack('<Q', data[:8])[0]
head, body = json.loads(data[8:8 + size]), data[8 + size:]
name = next(n for n in head if n.startswith('head.weight.scale'))
def write(path, head, body):
    text = json.dumps(head).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + body)
def renamed(to):
    return {to if key == name else key: value for key, value in head.items()}
write('gone.safetensors', renamed('head.weight.scales'), body)
shape = json.loads(json.dumps(head)); shape[name]['shape'] = [8, 8]
write('shape.safetensors', shape, body)
at = head[name]['data_offsets'][0]
del head['__metadata__']['variant.checksums'] # as made of these numbers
write('nan.safetensors', head, body[:at] + b'\xff\xff\xff\xff' + body[at + 4:])
EOF
refuses 1 'head.weight is I8, which is not read' generate -m gone.safetensors -o no.png
refuses 1 'is not 64 scales' generate -m shape.safetensors -o no.png
refuses 1 'NaN or infinite' generate -m nan.safetensors -o no.png
ok

echo "cli_int8: $passed parts, $failed failures"
[ "$failed" = 0 ]
