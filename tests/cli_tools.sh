#!/bin/sh
# cli_tools.sh VARIANT TESTS - the commands around a model, end to end on a synthetic one: synth, inspect, convert, decode,
# encode, reconstruct, and what each says about wrong usage and bad files. Prints what failed; exit status 1 then.
variant=$1
golden=$2/golden
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $*"
    sed 's/^/    /' err.txt out.txt 2>/dev/null
    failures=$((failures + 1))
}

# expect STATUS WORDS... : runs variant with the words, wants that exit status and, unless 0, exactly one line on stderr
expect() {
    wanted=$1
    shift
    "$variant" "$@" >out.txt 2>err.txt
    got=$?
    [ "$got" = "$wanted" ] || fail "variant $* ended with $got, not $wanted"
    [ "$wanted" = 0 ] || [ "$(wc -l <err.txt)" = 1 ] || fail "variant $*: not one line on stderr"
}

says() { grep -q -- "$1" out.txt err.txt || fail "the last command did not say \"$1\""; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
absent() { [ ! -e "$1" ] || fail "$1 was left behind"; }

# ---- usage
expect 0 --help
says generate
expect 0 --version
says variant
expect 0 --version -v
if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
    # OpenBLAS must not run kernels from before AVX2 because it does not know the processor, unless told to
    says 'Haswell\|Zen\|Excavator\|SkylakeX\|Cooperlake\|SapphireRapids'
    OPENBLAS_CORETYPE=Prescott "$variant" --version -v >out.txt 2>err.txt
    says Prescott
    expect 0 --version -v
fi
says cpu
expect 2 generat
says 'did you mean generate'
expect 2 generate -m tiny.safetensors -ngl 3 -o no.png
says 'unknown option -ngl: layers go to no other processor'
expect 2 generate -m tiny.safetensors -seed 3 -o no.png
says 'unknown option -seed; with two dashes it is --seed'
for command in inspect convert encode decode reconstruct synth selftest; do
    expect 0 "$command" --help
    says examples
    expect 0 help "$command"
    expect 2 "$command"
    expect 2 "$command" --no-such-option
    says no-such-option
    expect 2 "$command" x --threads nought
    says threads
done

# ---- synth, inspect, convert
cat >tiny.json <<'EOF'
{"seed": "A", "depth": 6, "width": 128, "heads": 2, "V": 64, "Cvae": 8, "classes": 3, "patch_nums": [1, 2, 3, 4],
 "attn_l2_norm": true, "shared_aln": false, "ch": 32, "ch_mult": [1, 2], "nres": 1}
EOF
expect 0 synth tiny.json -o tiny.safetensors
expect 0 inspect tiny.safetensors
says 'depth 6, width 128'
says 'sides 1,2,3,4, 30 tokens'
expect 0 inspect tiny.safetensors --json --tensors
says '"head.weight"'
expect 0 synth tiny.json --only tokenizer -o vae.safetensors
expect 0 synth tiny.json --only transformer -o var.safetensors
expect 0 inspect var.safetensors --tokenizer vae.safetensors --bridge 2
printf 'red\ngreen\nblue\n' >names.txt
expect 0 convert var.safetensors --tokenizer vae.safetensors --classes names.txt -o both.safetensors
expect 0 inspect both.safetensors
says 'red, green, blue'
printf 'red\n' >short.txt
expect 1 convert tiny.safetensors --classes short.txt -o no.safetensors
says '3 classes'
absent no.safetensors
expect 0 convert tiny.safetensors --type bf16 -o half.safetensors
[ "$(wc -c <half.safetensors)" -lt "$(wc -c <tiny.safetensors)" ] || fail "bf16 is not smaller"
expect 0 convert "$golden/torch/micro_var.pth" --tokenizer "$golden/torch/micro_vae.pth" --sides 1,2 -o micro.safetensors
expect 0 inspect micro.safetensors
says 'sides 1,2, 5 tokens'
# the buffer lvl_1L tells a transformer's sides, nothing a tokenizer's
expect 0 inspect "$golden/torch/micro_var.pth"
says 'sides 1,2, 5 tokens'
expect 1 inspect "$golden/torch/micro_vae.pth"
says sides

# ---- convert for other programs: state dicts (tests/torch_names.sh has PyTorch load them), shards
expect 0 convert tiny.safetensors -o whole.safetensors
expect 0 convert tiny.safetensors --to torch-names -o t_var.pth --tokenizer-out t_vae.pt
expect 0 convert t_var.pth --tokenizer t_vae.pt -o back.safetensors
same whole.safetensors back.safetensors
expect 0 convert tiny.safetensors --to torch-names -o t_var.safetensors
says 'the tokenizer.*--tokenizer-out'
expect 0 inspect t_var.safetensors --tensors
says attn_bias_for_masking
expect 0 convert vae.safetensors --to torch-names -o t_vae.bin
same t_vae.pt t_vae.bin
expect 1 convert vae.safetensors --to torch-names -o no.pth --tokenizer-out no2.pth
says 'tokenizer alone'
expect 1 convert var.safetensors --to torch-names -o no.pth --tokenizer-out no2.pth
says 'no tokenizer'
expect 2 convert tiny.safetensors --to torch-names -o no.npz
says 'ends in .pth, .pt or .bin (PyTorch) or in .safetensors'
expect 2 convert tiny.safetensors --to torch-names -o no.pth --type int8
says 'not with --type int8'
expect 2 convert tiny.safetensors --to torch-names -o no.pth --pack
expect 2 convert tiny.safetensors --to diffusers -o no.pth
says 'expected torch-names'
expect 2 convert tiny.safetensors -o no.safetensors --tokenizer-out no.pth
expect 2 convert tiny.safetensors -o no.pth
says 'a file for PyTorch: --to torch-names'
expect 2 convert tiny.safetensors --uncond-depth 1 -o no.safetensors
says 'no supernet, whose guidance --uncond-depth and --cfg-late would set'
expect 1 convert tiny.safetensors --to torch-names -o first.pth --tokenizer-out absent/type=a.pth
says 'absent/type=a.pth'
absent first.pth
absent no.pth
absent no2.pth
mkdir sharded
expect 0 convert tiny.safetensors -o sharded/model.safetensors --max-shard-size 2M
for part in 1 2 3 4 5 6; do
    [ -s sharded/model-0000$part-of-00006.safetensors ] || fail "no shard $part among $(echo sharded/*)"
done
[ "$(ls sharded | wc -l)" = 7 ] || fail "shards: $(echo sharded/*)"
expect 0 convert sharded -o back.safetensors
same whole.safetensors back.safetensors
expect 0 convert tiny.safetensors -o back.safetensors --max-shard-size 1G
same whole.safetensors back.safetensors
absent back.safetensors.index.json
expect 0 convert tiny.safetensors -o sharded/eight.safetensors --max-shard-size 600K --type int8
expect 0 convert tiny.safetensors -o eight.safetensors --type int8
expect 0 convert sharded/eight.safetensors.index.json -o eight_back.safetensors
expect 0 convert eight.safetensors -o eight_one.safetensors
same eight_back.safetensors eight_one.safetensors
expect 2 convert tiny.safetensors -o no.safetensors --pack --max-shard-size 1M
expect 2 convert tiny.safetensors --to torch-names -o no.pth --max-shard-size 1M
expect 2 convert tiny.safetensors -o no --max-shard-size 1M
says 'NAME-00001-of-0000N.safetensors'

# ---- bad files
head -c 60000 tiny.safetensors >cut.safetensors
expect 1 inspect cut.safetensors
expect 1 inspect nothing.safetensors
echo text >text.safetensors
expect 1 inspect text.safetensors
sed 's/"depth": 6/"depth": 0/' tiny.json >bad.json
expect 1 synth bad.json -o no.safetensors
says '"depth"'
absent no.safetensors
expect 1 synth tiny.json -o missing/folder/x.safetensors
says 'missing/folder'
if [ -e /dev/full ]; then
    "$variant" inspect tiny.safetensors >/dev/full 2>err.txt
    [ $? = 1 ] || fail "a full device went unnoticed"
fi

# ---- FID's Inception, a synthetic one
expect 2 synth inception -o inception.safetensors --only tokenizer
expect 0 synth inception -o inception.safetensors --type bf16
expect 0 inspect inception.safetensors
says inception-synthetic
says '2048, spatial 2023'
expect 0 inspect inception.safetensors --tensors --json
says '"spatial_features":	2023'
says '"Mixed_7c.branch_pool.bn.running_var"'
expect 2 convert inception.safetensors -o no.safetensors --classes names.txt
says Inception
absent no.safetensors
expect 0 convert inception.safetensors -o again.safetensors --type bf16
same inception.safetensors again.safetensors
head -c 1000000 inception.safetensors >inception_cut.safetensors
expect 1 inspect inception_cut.safetensors
says inception_cut.safetensors
rm inception.safetensors again.safetensors inception_cut.safetensors

# ---- pictures: the reference's teacher tokens are as good as any
expect 0 decode -m tiny.safetensors "$golden/A/transformer.safetensors" -o p.png
[ -s p_00.png ] && [ -s p_01.png ] || fail "decode wrote no pictures"
expect 0 decode -m both.safetensors "$golden/A/transformer.safetensors" -o q.png -t 1
same p_00.png q_00.png
same p_01.png q_01.png
expect 0 encode -m tiny.safetensors p_00.png p_01.png -o tokens.safetensors
expect 0 encode -m tiny.safetensors p_00.png p_01.png -o again.safetensors -t 1
same tokens.safetensors again.safetensors
for name in tokens.npy tokens.pt tokens.json tokens.Safetensors; do
    expect 2 encode -m tiny.safetensors p_00.png -o $name
    says "$name: tokens are written to files that end in .safetensors or .npz"
    absent $name
done
expect 2 generate -m tiny.safetensors --tokens-out tokens.npy -o x.png
says '.safetensors or .npz'
absent x.png
expect 0 decode -m tiny.safetensors tokens.safetensors -o r.png
expect 0 reconstruct -m tiny.safetensors p_00.png p_01.png -o sheet.png
says '2 pictures of 8 x 8: PSNR'
[ -s sheet.png ] || fail "reconstruct wrote no sheet"
expect 0 reconstruct -m tiny.safetensors p_00.png --json
says '"psnr"'
# bf16 convolutions round: other pictures than f32's, nearly the same ones; int8 means bf16 to a tokenizer
expect 0 decode -m tiny.safetensors tokens.safetensors -o half.png --weights bf16
cmp -s r_00.png half_00.png && cmp -s r_01.png half_01.png && fail "decode --weights bf16 is f32"
expect 0 decode -m tiny.safetensors tokens.safetensors -o byte.png --weights int8
same half_00.png byte_00.png
expect 0 encode -m tiny.safetensors p_00.png p_01.png -o half.safetensors --weights bf16
expect 0 reconstruct -m tiny.safetensors p_00.png --json --weights bf16
says '"psnr"'
expect 2 reconstruct -m tiny.safetensors p_00.png --weights f64
expect 2 decode -m tiny.safetensors tokens.safetensors -o no.png --weights half
absent no.png
expect 1 encode -m tiny.safetensors names.txt -o no.safetensors
says names.txt
absent no.safetensors
expect 1 encode -m var.safetensors p_00.png -o no.safetensors
says tokenizer
expect 1 decode -m micro.safetensors tokens.safetensors -o no.png
says '30 tokens'
absent no.png
expect 1 decode -m tiny.safetensors tiny.safetensors -o no.png
expect 1 decode -m tiny.safetensors tokens.safetensors -o missing/x.png

# ---- selftest: what disagrees, is broken or unknown must not pass
mkdir some && cp "$golden/sampling.safetensors" some/
expect 0 selftest some --dump computed.safetensors
says '7 tensors passed, 0 failed'
cp cut.safetensors some/broken.safetensors
expect 1 selftest some
says '7 tensors passed, 1 failed'
mkdir none
expect 1 selftest none
cp tiny.safetensors none/
expect 1 selftest none
says SKIP
expect 2 selftest some --precision f8
# a reference with one value changed: 64 bytes from its end, inside the last probabilities
size=$(wc -c <"$golden/sampling.safetensors")
mkdir wrong
{ head -c $((size - 64)) "$golden/sampling.safetensors" && printf 'variant!' && tail -c 56 "$golden/sampling.safetensors"; } \
    >wrong/sampling.safetensors
expect 1 selftest wrong
says '6 tensors passed, 1 failed'

[ "$failures" = 0 ] || echo "$failures checks failed"
[ "$failures" = 0 ]
