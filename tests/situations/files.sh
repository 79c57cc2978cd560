#!/usr/bin/env bash
# Situations of checkpoints and tensor files: as trainers, wrappers, converters, downloads and other tools leave them.
#   tests/situations/files.sh BUILD_FOLDER [NAME...]
. "$(dirname "$0")/lib.sh"

# python CODE: with everything of inputs.py and torch_files.py.
python() { python3 -c "from inputs import *; from torch_files import *; import struct, json, os, shutil, zipfile
$1" || fault "the situation's own Python failed"; }
shape=(--sides 1,2,4) # of tiny_model, which a PyTorch file does not tell
takes() { succeeds inspect "$@"; says "transformer"; }

# ---- NaN and infinities among weights

nan_in_a_layer() {
    tiny_model m.safetensors
    python "
file = Safetensors('m.safetensors')
for i in (3, 70): file.set_number('blocks.1.attn.mat_qkv.weight', i, float('nan'))
file.write('nan.safetensors')"
    for command in "generate -m nan.safetensors -o x.png" "convert nan.safetensors -o y.safetensors" "plan -m nan.safetensors --depth 1"; do
        run $command
        [ "$code" -ne 0 ] || fault "taken: $command"
    done
    refuses 1 generate -m nan.safetensors -t 1 -o x.png
    says "nan.safetensors: tensor blocks.1.attn.mat_qkv.weight: 2 of its [0-9]+ numbers"
    [ ! -e x.png ] || fault "a picture was written"
    refuses 1 generate -m nan.safetensors -t 1 -o x.png --weights bf16
    refuses 1 generate -m nan.safetensors -t 1 -o x.png --weights int8
    succeeds inspect nan.safetensors
    says "blocks.1.attn.mat_qkv.weight: 2 of"
}
situation nan-in-a-layer "two weights are NaN: every command names file, tensor and how many; inspect counts them" nan_in_a_layer

infinity_in_the_decoder() {
    tiny_model m.safetensors
    python "
file = Safetensors('m.safetensors'); file.set_number('decoder.conv_out.bias', 0, float('-inf')); file.write('inf.safetensors')"
    refuses 1 generate -m inf.safetensors -t 1 -o x.png
    says "decoder.conv_out.bias: 1 of its 3"
    python "picture('p.png', width=8, height=8)"
    refuses 1 reconstruct -m inf.safetensors p.png
    says "decoder.conv_out.bias"
    refuses 1 encode -m inf.safetensors p.png -o t.safetensors
}
situation infinity-in-the-decoder "an infinite bias of the tokenizer: generate, reconstruct and encode refuse it" infinity_in_the_decoder

nan_in_half_precision() {
    tiny_model m.safetensors
    succeeds convert m.safetensors -o h.safetensors --type f16
    python "
file = Safetensors('h.safetensors'); begin = file.header['word_embed.weight']['data_offsets'][0]
struct.pack_into('<H', file.data, begin + 10, 0x7e01); file.write('nan.safetensors')"
    refuses 1 generate -m nan.safetensors -t 1 -o x.png
    says "word_embed.weight: 1 of its"
}
situation nan-in-half-precision "a NaN in a file of f16" nan_in_half_precision

nan_to_start_training_from() {
    tiny_model m.safetensors 2
    python "
classes('d', ['a', 'b'], 4, width=8, height=8)
file = Safetensors('m.safetensors'); file.set_number('blocks.0.ffn.fc1.weight', 1, float('inf')); file.write('bad.safetensors')"
    refuses 1 train supernet --data d -o run --model bad.safetensors --steps 1 --batch 2 -t 1 -q
    says "blocks.0.ffn.fc1.weight"
    refuses 1 train transformer --data d -o run2 --tokenizer bad.safetensors --steps 1 --batch 2 -t 1 -q
}
situation nan-to-start-training-from "a broken model given to a training: refused before the first step" nan_to_start_training_from

nan_in_a_classifier() {
    python "classes('d/train', ['a', 'b'], 6, width=8, height=8); classes('d/test', ['a', 'b'], 4, width=8, height=8, seed=1)"
    tiny_classifier c d
    python "
file = Safetensors('c/classifier.safetensors'); file.set_number('classifier.stem.weight', 0, float('nan')); file.write('c/bad.safetensors')"
    refuses 1 classify -m c/bad.safetensors d/test/a/00.png
    says "classifier.stem.weight: 1 of its"
    refuses 1 eval --pictures d/test --reference d/test --features c/bad.safetensors
    python "
file = Safetensors('c/checkpoint.safetensors'); name = [n for n in file.names() if n.startswith('training/m/')][0]
file.set_number(name, 0, float('nan')); file.write('c/checkpoint.safetensors')"
    refuses 1 train classifier --data d -o c --side 8 --crop 0 --mult 1,2 --steps 3 --batch 4 -t 1 -q --resume
    says "NaN or infinite"
}
situation nan-in-a-classifier "the network of scores, and a checkpoint to resume, with NaN" nan_in_a_classifier

# ---- several models in a file

model_and_ema() {
    tiny_model m.safetensors
    python "
t, e = state('m.safetensors'), state('m.safetensors', 0.5)
save('a.pth', {'model': t, 'ema': e, 'epoch': 3}); save('b.pth', {'ema': e, 'model': t}); save('only.pth', e)"
    for file in a b; do
        succeeds generate -m $file.pth "${shape[@]}" -t 1 -s 1 -o $file.png
        says "warning: $file.pth: holds 2 models \((model, ema|ema, model)\): takes ema.*; part NAME"
    done
    succeeds generate -m only.pth "${shape[@]}" -t 1 -s 1 -o only.png
    succeeds generate -m a.pth "${shape[@]}" -t 1 -s 1 -o model.png --part model
    is_silent_on "warning"
    succeeds generate -m m.safetensors -t 1 -s 1 -o plain.png
    python "
import zlib
def pixels(path):
    content, at, data = open(path, 'rb').read(), 8, b''
    while at < len(content):
        n, = struct.unpack('>I', content[at:at + 4]); data += content[at + 8:at + 8 + n] if content[at + 4:at + 8] == b'IDAT' else b''; at += n + 12
    return zlib.decompress(data)
assert pixels('a.png') == pixels('b.png') == pixels('only.png'), 'not the averaged weights'
assert pixels('model.png') == pixels('plain.png') != pixels('a.png'), 'not --part model'"
    refuses 2 generate -m a.pth "${shape[@]}" -t 1 -o x.png --part averages
    says "expected one of model, ema"
}
situation model-and-ema "weights and their average in one file, in both orders: the average, said; --part takes the other" model_and_ema

words_for_averages() {
    tiny_model m.safetensors
    python "
t, e = state('m.safetensors'), state('m.safetensors', 0.5)
for name in ('state_dict_ema', 'ema_state_dict', 'model_ema', 'params_ema', 'ema_model', 'EMA'):
    save(name + '.pth', {'state_dict': t, name: e})
save('nested.pth', {'trainer': {'net': t, 'net_ema': {'module': e}}})
save('timm.pth', {'state_dict': t, 'state_dict_ema': prefixed('module.', e), 'arch': 'var', 'epoch': 1})"
    for file in *.pth; do
        takes $file "${shape[@]}"
        says "takes .*ema"
    done
}
situation words-for-averages "state_dict_ema, model_ema, params_ema and others; nested, and below module." words_for_averages

two_without_average() {
    tiny_model m.safetensors
    python "
t, e = state('m.safetensors'), state('m.safetensors', 0.5)
save('a.pth', {'student': t, 'teacher': e}); save('b.pth', {'model': t, 'previous': e})
save('c.pth', {'ema_0.99': t, 'ema_0.999': e, 'model': t})"
    refuses 1 inspect a.pth "${shape[@]}"
    says "holds 2 .*student, teacher; choose one as part"
    takes a.pth "${shape[@]}" --part teacher
    takes b.pth "${shape[@]}"
    says "takes model"
    takes c.pth "${shape[@]}"
    says "takes model|choose one"
}
situation two-without-average "student and teacher: nobody can say which, so it is asked; a usual name is taken and said" two_without_average

average_without_names() {
    tiny_model m.safetensors
    python "save('a.pth', {'model': state('m.safetensors'), 'ema': {'decay': 0.99, 'shadow_params': list(state('m.safetensors', 0.5).values())}})"
    takes a.pth "${shape[@]}"
    says "shadow_params.*no names"
}
situation average-without-names "an average kept as a bare list: the model is taken, and it is said why" average_without_names

two_parts_of_a_trainer() {
    tiny_model m.safetensors
    python "
t = state('m.safetensors')
vae = {k: v for k, v in t.items() if k.split('.')[0] in ('encoder', 'decoder', 'quantize', 'quant_conv', 'post_quant_conv')}
var = {k: v for k, v in t.items() if k not in vae}
save('a.pth', {'epoch': 1, 'trainer': {'vae_local': vae, 'var_wo_ddp': var, 'var_opt': {'state': {0: {'exp_avg': floats([1.0])}}}}})
save('v.pth', vae); save('r.pth', {'model': prefixed('module.', var)})
file = Safetensors('m.safetensors')
file.rename(lambda k: ('vae.' if k in vae else 'var.') + k); file.write('both.safetensors')
file.rename(lambda k: 'model._orig_mod.' + k); file.write('deep.safetensors')"
    succeeds generate -m a.pth "${shape[@]}" -t 1 -o a.png
    is_silent_on warning
    succeeds generate -m r.pth --tokenizer v.pth "${shape[@]}" -t 1 -o b.png
    succeeds generate -m both.safetensors -t 1 -o c.png
    succeeds generate -m deep.safetensors -t 1 -o d.png
    succeeds inspect deep.safetensors
    says "tokenizer in model._orig_mod.vae, transformer in model._orig_mod.var"
}
situation two-parts-of-a-trainer "tokenizer and transformer under names of their own: vae_local, var_wo_ddp, vae., var., deeper" two_parts_of_a_trainer

# ---- words before names

words_before_names() {
    tiny_model m.safetensors
    python "
for i, words in enumerate(('module.', '_orig_mod.', 'model.', 'ema.', 'module._orig_mod.', '_orig_mod.module.', 'var.', 'net.module.', 'a.b.c.')):
    file = Safetensors('m.safetensors'); file.rename(lambda k: words + k); file.write('s%d.safetensors' % i)
    save('t%d.pth' % i, {'state_dict': prefixed(words, state('m.safetensors'))})"
    for file in s*.safetensors; do takes $file; done
    for file in t*.pth; do takes $file "${shape[@]}"; done
    succeeds generate -m s4.safetensors -t 1 -s 3 -o a.png
    succeeds generate -m m.safetensors -t 1 -s 3 -o b.png
    succeeds convert s4.safetensors -o again.safetensors
    succeeds convert m.safetensors -o plain.safetensors
    same_bytes again.safetensors plain.safetensors
}
situation words-before-names "module., _orig_mod., model., ema. and others, nested, in both kinds of file" words_before_names

words_within_names() {
    tiny_model m.safetensors
    python "
import re
file = Safetensors('m.safetensors')
file.rename(lambda k: 'module.' + re.sub(r'^(blocks\.\d+)\.', r'\1._orig_mod.', k)); file.write('a.safetensors')
file = Safetensors('m.safetensors')
file.rename(lambda k: re.sub(r'^(blocks\.\d+)\.', r'_fsdp_wrapped_module.\1._fsdp_wrapped_module._checkpoint_wrapped_module.', k) if k.startswith('blocks') else '_fsdp_wrapped_module.' + k)
file.write('b.safetensors')"
    takes a.safetensors
    takes b.safetensors
}
situation words-within-names "layers compiled or sharded one by one: wrappers in the middle of names" words_within_names

wrapped_classifier() {
    python "classes('d/train', ['a', 'b'], 6, width=8, height=8)"
    tiny_classifier c d
    python "file = Safetensors('c/classifier.safetensors'); file.rename(lambda k: 'module.' + k); file.write('w.safetensors')"
    succeeds classify -m w.safetensors d/train/a/00.png
    succeeds classify -m c/classifier.safetensors d/train/a/00.png
}
situation wrapped-classifier "a classifier below module." wrapped_classifier

# ---- folders and shards

remains_in_the_folder() {
    mkdir f
    tiny_model f/m.safetensors
    echo notes >f/notes.bin
    : >f/empty.pt
    echo '<!DOCTYPE html><title>404</title>' >f/page.ckpt
    mkdir f/old.pth
    : >f/.hidden.pth
    takes f
    says "warning: passed over f/notes.bin: is text \(\"notes\"\)"
    says "f/empty.pt: is empty"
    says "f/page.ckpt: is a web page"
    succeeds generate -m f -t 1 -o x.png
    rm f/m.safetensors
    refuses 1 inspect f
    says "f: no model in this folder: f/empty.pt: is empty"
    is_silent_on "passed over f/empty.pt"
    says "passed over f/page.ckpt"
}
situation remains-in-the-folder "notes, an empty download, a web page and a folder beside the model: passed over, said" remains_in_the_folder

two_in_the_folder() {
    mkdir f
    tiny_model f/a.safetensors
    cp f/a.safetensors f/b.safetensors
    refuses 1 inspect f
    says "f/a.safetensors and f/b.safetensors; name one"
    rm f/a.safetensors f/b.safetensors
    tiny_model m.safetensors
    python "save('f/last.ckpt', {'state_dict': prefixed('model.', state('m.safetensors')), 'hyper_parameters': {'lr': 0.1}})"
    takes f "${shape[@]}"
    mkdir none
    refuses 1 inspect none
    says "none: no .safetensors"
}
situation two-in-the-folder "two models in a folder; a .ckpt alone; nothing" two_in_the_folder

split_model() {
    mkdir f
    tiny_model m.safetensors
    python "
file = Safetensors('m.safetensors'); names = file.names(); shards, where = [{}, {}, {}], {}
for i, name in enumerate(names):
    begin, end = file.header[name]['data_offsets']
    shards[i % 3][name] = (file.header[name], file.data[begin:end])
for i, shard in enumerate(shards):
    out, header, data = 'model-0000%d-of-00003.safetensors' % (i + 1), {'__metadata__': file.header['__metadata__']}, b''
    for name, (entry, some) in shard.items():
        header[name] = dict(entry, data_offsets=[len(data), len(data) + len(some)]); data += some; where[name] = out
    file.header, old = header, file.header
    file.data, kept = data, file.data
    file.write('f/' + out)
    file.header, file.data = old, kept
json.dump({'metadata': {'total_size': len(file.data)}, 'weight_map': where}, open('f/model.safetensors.index.json', 'w'))
json.dump({'weight_map': dict(where, more='model-00001-of-00003.safetensors')}, open('f/more.json', 'w'))
json.dump({'weight_map': dict(where, more='../m.safetensors')}, open('f/outside.json', 'w'))
json.dump({'model_type': 'var'}, open('f/config.json', 'w'))"
    takes f
    says "safetensors, 3 shards"
    takes f/model.safetensors.index.json
    succeeds generate -m f -t 1 -s 2 -o a.png
    refuses 1 inspect f/more.json
    says "tensor 'more' is not in its shard 'model-00001"
    refuses 1 inspect f/outside.json
    says "expected one in its own folder"
    refuses 1 inspect f/config.json
    says "JSON"
    rm f/model-00002-of-00003.safetensors
    refuses 1 inspect f/model.safetensors.index.json
    says "shard: .*model-00002-of-00003.safetensors: cannot open"
    refuses 1 inspect f
    rm f/*.json
    refuses 1 inspect f
    says "without their index"
}
situation split-model "a model in three files and their index: by folder and by index; a part missing; no index" split_model

judge_for_a_model() {
    python3 -c "import inputs; inputs.classes('d/train', ['a', 'b'], 4); inputs.classes('d/test', ['a', 'b'], 4, seed=1)"
    tiny_classifier run d
    for command in "inspect run" "convert run -o x.safetensors" "convert run/classifier.safetensors -o x.safetensors" "generate -m run"; do
        # shellcheck disable=SC2086
        refuses 1 $command
        says "classifier|tokenizer"
    done
    [ ! -e x.safetensors ] || fault "something was written"
}
situation judge-for-a-model "the folder of a classifier where a model is expected: what it holds instead is said" judge_for_a_model

distributed_checkpoint() {
    mkdir f
    touch f/.metadata f/__0_0.distcp
    refuses 1 inspect f
    says "torch.distributed.checkpoint.*dcp_to_torch_save"
}
situation distributed-checkpoint "a folder of .distcp files: what makes one file of it" distributed_checkpoint

# ---- types nobody asks for

types_nobody_asks_for() {
    tiny_model m.safetensors
    python "
t = state('m.safetensors')
more = {'u16': byte_tensor(8, 'uint16'), 'f8': byte_tensor(4, 'float8_e4m3fn'), 'c64': tensor(bytes(32), (4,), 'ComplexFloatStorage'),
        'int8': subclass('torchao.Int8Tensor'), 'mesh': parameter(subclass('torch.distributed.tensor.DTensor'))}
save('a.pth', {'model': t, 'optimizer': more})
save_legacy('b.pth', {'optimizer': more, 'model': t})
file = Safetensors('m.safetensors')
for name, size, dtype in (('x8', 3, 'F8_E4M3'), ('x5', 3, 'F8_E5M2'), ('x4', 12, 'F4'), ('x16', 2, 'U16'), ('x32', 4, 'U32'), ('x64', 8, 'U64'), ('xc', 8, 'C64'), ('future', 5, 'F5_X')):
    count = {'F4': 24, 'F5_X': 7}.get(dtype, size // {'U16': 2, 'U32': 4, 'U64': 8, 'C64': 8}.get(dtype, 1))
    file.header[name] = {'dtype': dtype, 'shape': [count], 'data_offsets': [len(file.data), len(file.data) + size]}
    file.data += bytes(size)
file.write('c.safetensors')"
    takes a.pth "${shape[@]}"
    takes b.pth "${shape[@]}"
    takes c.safetensors
    says "passed over 8 tensors .*x8 \(F8_E4M3\)"
    succeeds inspect a.pth "${shape[@]}" --tensors
    says "torchao.Int8Tensor|float8_e4m3fn"
}
situation types-nobody-asks-for "8-bit and 4-bit floats, unsigned, complex, tensor subclasses beside a plain model" types_nobody_asks_for

types_asked_for() {
    tiny_model m.safetensors
    python "
t = state('m.safetensors')
t['head.bias'] = byte_tensor(32, 'float8_e4m3fn'); save('a.pth', t)
t['head.bias'] = subclass('torchao.Int8Tensor'); save('b.pth', t)
file = Safetensors('m.safetensors'); entry = file.header['head.bias']; entry['dtype'] = 'U32'; file.write('c.safetensors')"
    refuses 1 inspect a.pth "${shape[@]}"
    says "head.bias is float8_e4m3fn, which is not read"
    refuses 1 inspect b.pth "${shape[@]}"
    says "head.bias is torchao.Int8Tensor"
    refuses 1 inspect c.safetensors
    says "head.bias is U32"
}
situation types-asked-for "the same as a weight: an error that names tensor and type" types_asked_for

whole_numbers_for_weights() {
    tiny_model m.safetensors
    python "
def written(name, dtype, size):
    file = Safetensors('m.safetensors'); entry = file.header['head.weight']; begin, end = entry['data_offsets']
    body = bytes(size * ((end - begin) // 4)); gap = (end - begin) - len(body)
    file.data[begin:end] = body; entry['dtype'] = dtype
    for other in file.names():
        offsets = file.header[other]['data_offsets']
        if offsets[0] > begin: offsets[0] -= gap
        if offsets[1] > begin: offsets[1] -= gap
    file.write(name)
for name, dtype, size in (('i8', 'I8', 1), ('u8', 'U8', 1), ('i64', 'I64', 8), ('bool', 'BOOL', 1)): written(name + '.safetensors', dtype, size)"
    for kind in i8 u8 i64 bool; do
        refuses 1 generate -m $kind.safetensors -t 1 -o x.png
        says "head.weight is $kind, which is not read: expected F32, F16, BF16 or F64"
        refuses 1 convert $kind.safetensors -o y.safetensors
        [ ! -e x.png ] && [ ! -e y.safetensors ] || fault "written from whole numbers"
    done
}
situation whole-numbers-for-weights "a quantized file without anything that tells its scales: no weights, whatever they would draw" whole_numbers_for_weights

things_beside_weights() {
    tiny_model m.safetensors
    python "
t = state('m.safetensors')
more = dict(t); more['loss.logvar'] = floats([0.0]); more['loss.discriminator.main.0.weight'] = floats([1.0, 2.0])
more['step'] = tensor(struct.pack('<f', 7.0), ()); save('a.pth', {'state_dict': more})
dotless = dict(t); dotless.update(('model_ema.' + k.replace('.', ''), v) for k, v in t.items()); save('b.pth', {'state_dict': dotless})
own = dict(t); own['blocks.0.attn.gate'] = floats([1.0]); save('c.pth', own)
own = dict(t); own['temperature'] = floats([1.0]); save('d.pth', own)"
    succeeds generate -m m.safetensors -t 1 -s 1 -o m.png
    for file in a b; do
        succeeds generate -m $file.pth "${shape[@]}" -t 1 -s 1 -o $file.png
        says "passed over [0-9]+ tensors that are no weight of this model: (loss.logvar|model_ema.)"
        [ "$(grep -c 'passed over' err.txt)" -eq 1 ] || fault "said more than once"
        python "import inputs; assert inputs.png_pixels('m.png') == inputs.png_pixels('$file.png')"
    done
    refuses 1 inspect c.pth "${shape[@]}"
    says "blocks.0.attn.gate belongs to no part of this model"
    refuses 1 inspect d.pth "${shape[@]}"
    says "temperature belongs to no part of this model"
}
situation things-beside-weights "a discriminator, a step and averages without dots in one state dict: passed over, once; an unknown weight is not" things_beside_weights

index_of_indices() {
    mkdir f
    printf '{"weight_map": {"blocks.0.attn.mat_qkv.weight": "model.safetensors.index.json"}}' >f/model.safetensors.index.json
    refuses 1 inspect f/model.safetensors.index.json
    says "index itself, expected tensors"
    printf '{"weight_map": {"head.bias": "b.index.json"}}' >f/a.index.json
    printf '{"weight_map": {"head.bias": "a.index.json"}}' >f/b.index.json
    refuses 1 generate -m f/a.index.json -t 1 -o x.png
    says "b.index.json: is an index itself"
    refuses 1 inspect f
}
damaged_index() {
    mkdir f
    echo '{"weight_map": {"a": "nowhere.safetensors"}}' >f/m.safetensors.index.json
    : >f/m-00001-of-00001.safetensors
    refuses 1 generate -m f -o x.png
    says "f: no model in this folder: f/m.safetensors.index.json: .*nowhere.safetensors"
    [ "$(grep -c nowhere err.txt)" -eq 1 ] || fault "told $(grep -c nowhere err.txt) times"
}
situation damaged-index "a folder of shards whose index is damaged: told once" damaged_index

situation index-of-indices "an index of shards that names itself, and two that name each other: refused, not followed for ever" index_of_indices

a_pipe_for_a_model() {
    mkfifo pipe.pth
    refuses 1 inspect pipe.pth
    says "not a regular file"
    mkdir f
    tiny_model f/m.safetensors
    mv pipe.pth f/
    takes f
}
situation a-pipe-for-a-model "a named pipe, alone and beside a model: not waited for" a_pipe_for_a_model

negated_view() {
    tiny_model m.safetensors
    python "
file = Safetensors('m.safetensors'); begin, end = file.header['head.bias']['data_offsets']
values = struct.unpack('<32f', file.data[begin:end])
t = state('m.safetensors'); save('a.pth', t)
t['head.bias'] = tensor(struct.pack('<32f', *(-v for v in values)), (32,), bits={'neg': True}); save('b.pth', t)"
    for file in a b; do succeeds convert $file.pth "${shape[@]}" -o $file.safetensors; done
    same_bytes a.safetensors b.safetensors
}
situation negated-view "a tensor whose neg bit is set: its numbers are negated, not taken as they are stored" negated_view

# ---- PyTorch files

legacy_protocols() {
    tiny_model m.safetensors
    python "
for protocol in (2, 3, 4, 5):
    save_legacy('l%d.pth' % protocol, state('m.safetensors'), protocol); save('z%d.pth' % protocol, {'model': state('m.safetensors')}, protocol)"
    for file in l[2345].pth z[2345].pth; do takes $file "${shape[@]}"; done
}
situation legacy-protocols "pickle protocols 2 to 5, in the legacy form and in the zip" legacy_protocols

packed_again() {
    tiny_model m.safetensors
    python "
save('a.pth', state('m.safetensors'), compression=zipfile.ZIP_DEFLATED); save('b.pth', state('m.safetensors'), byteorder='big')
save('c.pth', state('m.safetensors'), compression=zipfile.ZIP_BZIP2)
content = bytearray(open('a.pth', 'rb').read()); content[len(content) // 2] ^= 255; open('d.pth', 'wb').write(content)"
    takes a.pth "${shape[@]}"
    refuses 1 inspect b.pth "${shape[@]}"
    says "another byte order"
    refuses 1 inspect c.pth "${shape[@]}"
    says "another method than deflate"
    refuses 1 inspect d.pth "${shape[@]}"
}
situation packed-again "a checkpoint zipped by another tool; one of a big-endian machine; one damaged" packed_again

unfolding_bomb() {
    sanitized && skip "a sanitizer takes more address space than any limit"
    python "
with zipfile.ZipFile('bomb.pth', 'w', zipfile.ZIP_DEFLATED) as file:
    pickled, _ = __import__('torch_files')._pickle({'w': tensor(bytes(4 << 20), (1 << 20,))}, 2, False)
    file.writestr('a/data.pkl', pickled.replace(struct.pack('<i', 1 << 20), struct.pack('<i', 1 << 28)))
    with file.open('a/data/0', 'w', force_zip64=True) as out:
        for _ in range(1 << 8): out.write(bytes(1 << 22))
content = open('bomb.pth', 'rb').read()
assert len(content) < 4 << 20"
    (ulimit -v 6000000; "$variant" inspect bomb.pth >out.txt 2>err.txt)
    code=$?
    [ $code -eq 1 ] || fault "exit $code, expected 1"
    says "more memory"
}
situation unfolding-bomb "a megabyte that unfolds to a gigabyte: refused before it is" unfolding_bomb

# ---- what files are

not_the_file() {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 9458548\n' 0 >lfs.safetensors
    printf '\n<!doctype HTML><html><body>Sign in</body></html>' >page.pth
    : >empty.safetensors
    printf 'GGUF\3\0\0\0aaaaaaaaaaaaaaaa' >model.gguf
    printf '\010\010\022\007pytorch\032\0052.1.0' >model.onnx
    printf '{"model_type": "var"}' >config.json
    python "
import gzip, tarfile, pickle
gzip.open('m.pth.gz', 'wb').write(b'x' * 100)
with tarfile.open('m.tar', 'w') as file: file.add('config.json')
pickle.dump({'w': [1.0]}, open('plain.pkl', 'wb'))
picture('p.png')"
    for pair in "lfs.safetensors:Git LFS pointer to a file of 9458548 bytes.*git lfs pull" "page.pth:web page" "empty.safetensors:empty" \
        "model.gguf:GGUF" "model.onnx:ONNX" "config.json:JSON" "m.pth.gz:gzip" "m.tar:tar archive" "plain.pkl:torch.save" "p.png:PNG picture"; do
        refuses 1 inspect "${pair%%:*}"
        says "${pair%%:*}: is .*${pair#*:}"
        refuses 1 generate -m "${pair%%:*}" -o x.png
        says "${pair#*:}"
    done
}
situation not-the-file "a Git LFS pointer, a web page, archives, other programs' models, a picture: said what it is" not_the_file

another_model() {
    python "
save('unet.bin', {'down_blocks.0.attentions.0.norm.weight': floats([1.0]), 'conv_in.weight': floats([1.0])})
save('llama.pth', {'model.layers.0.self_attn.q_proj.weight': floats([1.0])})
save('half.pth', {'word_embed.weight': floats([1.0]), 'class_emb.weight': floats([1.0]), 'pos_start': floats([1.0]), 'blocks.1.attn.mat_qkv.weight': floats([1.0])})
with zipfile.ZipFile('s.npz', 'w') as file: file.writestr('mu.npy', b'x')"
    refuses 1 inspect unet.bin
    says "UNet of diffusers; its names: down_blocks.0.attentions.0.norm.weight, conv_in.weight"
    refuses 1 inspect llama.pth
    says "language model"
    refuses 1 generate -m half.pth -o x.png
    says "nearest to VAR's transformer"
    refuses 1 inspect s.npz
    says "s.npz: is a NumPy archive"
    cp llama.pth part.distcp
    refuses 1 inspect part.distcp
    says "torch.distributed.checkpoint"
}
situation another-model "a UNet, a language model, half a transformer: first names and the nearest known layout" another_model

# ---- safetensors that break the format

broken_ranges() {
    tiny_model m.safetensors
    python "
def change(name, function):
    file = Safetensors('m.safetensors'); function(file); file.write(name + '.safetensors')
def alias(file):
    a, b = 'blocks.0.attn.proj.weight', 'blocks.1.attn.proj.weight'; file.header[a]['data_offsets'] = file.header[b]['data_offsets']
def hole(file):
    last = max(file.names(), key=lambda n: file.header[n]['data_offsets'][1])
    file.header[last]['data_offsets'] = [x + 4 for x in file.header[last]['data_offsets']]; file.data += bytes(4)
change('alias', alias); change('hole', hole); change('tail', lambda file: file.data.extend(b'more'))
change('head', lambda file: file.header.update({'nothing': {'dtype': 'I64', 'shape': [0, 7], 'data_offsets': [3, 3]}}))
content = open('m.safetensors', 'rb').read(); n, = struct.unpack_from('<Q', content)
header = content[8:8 + n].rstrip(b' ')
def put(name, header): open(name + '.safetensors', 'wb').write(struct.pack('<Q', len(header)) + header + content[8 + n:])
put('twice', header.replace(b'\"dtype\":\"F32\",', b'\"dtype\":\"F32\",\"dtype\":\"F32\",', 1))
put('entry', header[:-1] + b',' + header[header.index(b'\"blocks.0'):header.index(b'}', header.index(b'\"blocks.0')) + 1] + b'}')
put('blanks', b'  ' + header)"
    for file in alias hole tail twice entry; do
        refuses 1 inspect $file.safetensors
        says "$file.safetensors: "
    done
    takes head.safetensors
    takes blanks.safetensors
}
situation broken-ranges "two tensors of the same bytes, a hole, bytes at the end, keys twice: refused; nothing and blanks: taken" broken_ranges

module_pickled_whole() {
    tiny_model m.safetensors
    python "
def module(names):
    children, own = OrderedDict(), OrderedDict()
    for name, value in names.items():
        first, _, rest = name.partition('.')
        (children.setdefault(first, OrderedDict()) if rest else own)[rest or first] = value
    return Object({'training': False, '_parameters': OrderedDict((k, parameter(v)) for k, v in own.items()), '_buffers': {},
                   '_modules': OrderedDict((k, module(v)) for k, v in children.items())})
def script(names):
    tree = {}
    for name, value in names.items():
        at, parts = tree, name.split('.')
        for part in parts[:-1]: at = at.setdefault(part, {})
        at[parts[-1]] = value
    return tree
t = state('m.safetensors')
save('whole.pth', module(t)); save('script.pt', script(t))"
    takes whole.pth "${shape[@]}"
    takes script.pt "${shape[@]}"
    succeeds convert whole.pth "${shape[@]}" -o a.safetensors
    succeeds convert script.pt "${shape[@]}" -o b.safetensors
    same_bytes a.safetensors b.safetensors
}
situation module-pickled-whole "torch.save(model) instead of its state dict, and TorchScript: names are the paths to tensors" module_pickled_whole

# ---- conversion

numbers_beyond_halves() {
    tiny_model m.safetensors
    python "
file = Safetensors('m.safetensors'); file.set_number('blocks.1.attn.mat_qkv.weight', 3, -1e6); file.set_number('head.weight', 1, 7e4); file.write('big.safetensors')
file = Safetensors('m.safetensors'); begin, end = file.header['head.weight']['data_offsets']
for i in range((end - begin) // 4): file.set_number('head.weight', i, 1e-8)
file.write('small.safetensors')"
    refuses 1 convert big.safetensors -o h.safetensors --type f16
    says "blocks.1.attn.mat_qkv.weight: 1 of [0-9]+ numbers overflow"
    says "head.weight: 1 of"
    [ ! -e h.safetensors ] || fault "written all the same"
    succeeds convert big.safetensors -o h.safetensors --type f16 --force
    says "overflow"
    takes h.safetensors
    is_silent_on "NOT A NUMBER"
    succeeds convert big.safetensors -o b.safetensors --type bf16
    is_silent_on "overflow"
    refuses 1 convert small.safetensors -o h2.safetensors --type f16
    says "head.weight: 2048 of 2048 numbers vanish"
    succeeds convert small.safetensors -o h2.safetensors --type bf16
    succeeds convert m.safetensors -o plain.safetensors --type f16
    is_silent_on "warning"
}
situation numbers-beyond-halves "--type f16 of numbers that overflow or vanish: named and refused, --force, bf16" numbers_beyond_halves

# ---- statistics

packed_statistics() {
    python "
classes('d/train', ['a', 'b'], 6, width=8, height=8); classes('d/test', ['a', 'b'], 4, width=8, height=8, seed=1)"
    tiny_classifier c d
    python "
def npy(shape, values, descr='<f8', fortran='False'):
    text = \"{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\" % (descr, fortran, shape)
    text += ' ' * (-(len(text) + 11) % 64) + '\n'
    code = {'f8': 'd', 'f4': 'f', 'f2': 'e'}[descr[1:]]
    return b'\x93NUMPY\1\0' + struct.pack('<H', len(text)) + text.encode() + struct.pack(descr[0] + '%d%s' % (len(values), code), *values)
def write(name, compression, descr, fortran='False', side=64):
    with zipfile.ZipFile(name + '.npz', 'w', compression) as file:
        with file.open('mu.npy', 'w', force_zip64=True) as out: out.write(npy('(%d,)' % side, [0.0] * side, descr))
        file.writestr('sigma.npy', npy('(%d, %d)' % (side, side), [0.5 if i % (side + 1) == 0 else 0.0 for i in range(side * side)], descr, fortran))
write('plain', zipfile.ZIP_STORED, '<f8'); write('packed', zipfile.ZIP_DEFLATED, '<f8'); write('fortran', zipfile.ZIP_DEFLATED, '<f4', 'True')
write('big', zipfile.ZIP_STORED, '>f8'); write('half', zipfile.ZIP_DEFLATED, '>f2'); write('other', zipfile.ZIP_DEFLATED, '<f8', side=8)
content = bytearray(open('packed.npz', 'rb').read()); content[200] ^= 16; open('damaged.npz', 'wb').write(content)"
    local first=
    for file in plain packed fortran big half; do
        succeeds eval --pictures d/test/a --reference $file.npz --features c/classifier.safetensors -t 1 --json
        score=$(grep -iE 'fid' out.txt | head -1)
        [ -z "$first" ] || [ "$score" = "$first" ] || fault "$file: $score, expected $first"
        first=$score
    done
    refuses 1 eval --pictures d/test/a --reference other.npz --features c/classifier.safetensors -t 1
    refuses 1 eval --pictures d/test/a --reference damaged.npz --features c/classifier.safetensors -t 1
}
situation packed-statistics "statistics of np.savez_compressed, big-endian, halves, Fortran order: one score from all" packed_statistics

situations_end
