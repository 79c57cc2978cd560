"""VAR's generation in PyTorch, as fast as we know how: what `variant bench` is held against.

Used by peer_torch.py, which chooses the way to run it and times it. Written from the formulas;
reads the safetensors files that `variant synth` and training write. What a careful user would do is
done: AdaLN is computed once a picture (it depends on the class alone), the KV cache is
preallocated, activations stay in one type, the decoder works channels-last, and weights may be
packed for oneDNN ahead of time, with bias and GELU joined to the product.
"""
import json
import math
import mmap
import struct

import torch
import torch.nn.functional as F
from torch import nn

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32,
         "I64": torch.int64, "U8": torch.uint8, "F64": torch.float64}


def read_safetensors(path):
    """(tensors by name, metadata). The tensors lie in a private mapping of the file."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    meta = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        dtype, (begin, end) = TYPES[entry["dtype"]], entry["data_offsets"]
        count = (end - begin) // torch.empty(0, dtype=dtype).element_size()
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=8 + length + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, meta


def kept_layers(depth, count):
    """Layers of an equidistant subnet."""
    if count >= depth:
        return list(range(depth))
    return [0] if count == 1 else [i * (depth - 1) // (count - 1) for i in range(count)]


# ---- layers: one class each, with a weight plain or packed ----


class Linear(nn.Module):
    """x W' + b, then GELU (tanh) where asked. `pack` lays W out for oneDNN."""

    def __init__(self, weight, bias, gelu=False):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.gelu = gelu
        self.packed = None

    def pack(self):
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
        self.bias_data = None if self.bias is None else self.bias.detach()
        self.weight = None

    def forward(self, x):
        if self.packed is not None:
            return torch.ops.mkldnn._linear_pointwise(
                x, self.packed, self.bias_data, "gelu" if self.gelu else "none", [],
                "tanh" if self.gelu else "")
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y, approximate="tanh") if self.gelu else y


class Conv(nn.Module):
    """Convolution of stride 1 that keeps the size."""

    def __init__(self, weight, bias, packable=True):
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(bias)
        self.padding = weight.shape[-1] // 2
        self.packed = None
        self.packable = packable

    def pack(self, size):
        """For inputs of `size`, (B, C, H, W)."""
        self.packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
            self.weight.detach().to_mkldnn(), [self.padding] * 2, [1, 1], [1, 1], 1, size)
        self.bias_data = self.bias.detach()
        self.weight = None

    def forward(self, x):
        if self.packed is not None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.packed, self.bias_data, [self.padding] * 2, [1, 1], [1, 1], 1, "none", [],
                "")
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


# ---- the transformer ----


def attend(q, k, v, scale, way):
    """(S, H, n, D) over (S, H, m, D). Which way is fastest differs by shape, type and release."""
    if way == "products":
        weights = torch.matmul(q * scale if scale != 1.0 else q, k.transpose(-1, -2))
        return torch.matmul(torch.softmax(weights, -1, dtype=torch.float32).to(v.dtype), v)
    if way == "float32":
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(),
                                              scale=scale).to(v.dtype)
    return F.scaled_dot_product_attention(q, k, v, scale=scale)


class Block(nn.Module):
    def __init__(self, take, name, config):
        super().__init__()
        self.heads = config["heads"]
        self.width = config["width"]
        q_bias, v_bias = take(name + "attn.q_bias"), take(name + "attn.v_bias")
        self.qkv = Linear(take(name + "attn.mat_qkv.weight"),
                          torch.cat([q_bias, torch.zeros_like(q_bias), v_bias]))
        self.proj = Linear(take(name + "attn.proj.weight"), take(name + "attn.proj.bias"))
        self.fc1 = Linear(take(name + "ffn.fc1.weight"), take(name + "ffn.fc1.bias"), gelu=True)
        self.fc2 = Linear(take(name + "ffn.fc2.weight"), take(name + "ffn.fc2.bias"))
        self.l2_norm = config["l2_norm"]
        if self.l2_norm:
            scale = take(name + "attn.scale_mul_1H11").float().clamp(max=math.log(100.0)).exp()
            self.q_scale = nn.Parameter(scale.to(q_bias.dtype))

    def forward(self, x, condition, keys, values, begin, attention):
        """x (S, n, C); condition: six of (S, 1, C), scales already plus one; the caches
        (S, H, L, D) take this scale's keys and values from `begin` on."""
        gamma1, gamma2, scale1, scale2, shift1, shift2 = condition
        streams, count, width = x.shape
        end = begin + count
        h = torch.addcmul(shift1, F.layer_norm(x, (width,), eps=1e-6), scale1)
        q, k, v = self.qkv(h).view(streams, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        softmax_scale = 0.25 / math.sqrt(q.shape[-1])
        if self.l2_norm:
            q = F.normalize(q, dim=-1) * self.q_scale
            k = F.normalize(k, dim=-1)
            softmax_scale = 1.0
        keys[:, :, begin:end] = k
        values[:, :, begin:end] = v
        a = attend(q.to(keys.dtype), keys[:, :, :end], values[:, :, :end], softmax_scale, attention)
        a = a.transpose(1, 2).reshape(streams, count, width)
        x = torch.addcmul(x, gamma1, self.proj(a))
        h = torch.addcmul(shift2, F.layer_norm(x, (width,), eps=1e-6), scale2)
        return torch.addcmul(x, gamma2, self.fc2(self.fc1(h)))


class Transformer(nn.Module):
    def __init__(self, take, config):
        super().__init__()
        self.config = config
        depth = config["depth"]
        self.class_emb = nn.Parameter(take("class_emb.weight"))
        self.pos_start = nn.Parameter(take("pos_start"))
        level = torch.cat([take("lvl_embed.weight")[k].expand(side * side, -1)
                           for k, side in enumerate(config["sides"])])
        self.level_pos = nn.Parameter(level[None] + take("pos_1LC"))  # (1, L, C)
        self.word_embed = Linear(take("word_embed.weight"), take("word_embed.bias"))
        self.blocks = nn.ModuleList(Block(take, f"blocks.{i}.", config) for i in range(depth))
        self.shared = config["shared_adaln"]
        if self.shared:
            self.shared_ada = Linear(take("shared_ada_lin.1.weight"), take("shared_ada_lin.1.bias"))
            self.gss = nn.ParameterList(take(f"blocks.{i}.ada_gss") for i in range(depth))
        else:
            self.ada = nn.ModuleList(Linear(take(f"blocks.{i}.ada_lin.1.weight"),
                                            take(f"blocks.{i}.ada_lin.1.bias"))
                                     for i in range(depth))
        self.head_ada = Linear(take("head_nm.ada_lin.1.weight"), take("head_nm.ada_lin.1.bias"))
        self.head = Linear(take("head.weight"), take("head.bias"))
        self.begins = [0]
        for side in config["sides"]:
            self.begins.append(self.begins[-1] + side * side)

    def condition(self, labels):
        """For every layer six vectors, for the head two, each (S, 1, C); once a picture."""
        c = F.silu(self.class_emb[labels])
        width = self.config["width"]

        def split(six):
            six = six.view(-1, 6, width)
            add = torch.tensor([0, 0, 1, 1, 0, 0], dtype=six.dtype)[None, :, None]
            return (six + add).unsqueeze(2).unbind(1)
        if self.shared:
            shared = self.shared_ada(c).view(-1, 6, width)
            layers = [split(shared + gss.view(1, 6, width)) for gss in self.gss]
        else:
            layers = [split(ada(c)) for ada in self.ada]
        scale, shift = self.head_ada(c).view(-1, 2, width).unsqueeze(2).unbind(1)
        return layers, (scale + 1, shift)

    def first_input(self, labels):
        return self.class_emb[labels][:, None] + self.pos_start + self.level_pos[:, :1]

    def new_cache(self, streams, dtype, layers_by_scale):
        """Room for what each layer will see: [(keys, values)] of (S, H, tokens, D)."""
        heads, size = self.config["heads"], self.config["width"] // self.config["heads"]
        last = [max([k for k, s in enumerate(layers_by_scale) if layer in s], default=-1)
                for layer in range(self.config["depth"])]
        return [tuple(torch.zeros(streams, heads, self.begins[k + 1], size, dtype=dtype)
                      for _ in range(2)) for k in last]

    def scale(self, k, layers, x, conditions, head_condition, cache, attention, body=None):
        """Logits (S, n, V) of scale k in float32. x: what first_input gave, or the resized picture
        so far, (S, n, latent). `body`: the compiled form of self.body."""
        begin, end = self.begins[k], self.begins[k + 1]
        place = self.level_pos[:, begin:end] if k else None
        return (body or self.body)(x, place, begin, [self.blocks[i] for i in layers],
                                   [conditions[i] for i in layers], head_condition,
                                   [cache[i] for i in layers], attention)

    def body(self, x, place, begin, blocks, conditions, head_condition, cache, attention):
        if place is not None:
            x = self.word_embed(x) + place
        for block, condition, room in zip(blocks, conditions, cache):
            x = block(x, condition, *room, begin, attention)
        scale, shift = head_condition
        h = torch.addcmul(shift, F.layer_norm(x, (x.shape[-1],), eps=1e-6), scale)
        return self.head(h).float()


# ---- the tokenizer's half that generation needs ----


class Quantizer(nn.Module):
    """Tokens into the picture so far; always float32, it is small."""

    def __init__(self, take, config):
        super().__init__()
        self.sides = config["sides"]
        self.codebook = nn.Parameter(take("quantize.embedding.weight").float())
        self.phis = nn.ModuleList(
            Conv(take(f"quantize.quant_resi.qresi_ls.{i}.weight").float(),
                 take(f"quantize.quant_resi.qresi_ls.{i}.bias").float()) for i in range(4))

    def step(self, k, tokens, f_hat):
        """Adds scale k to f_hat (B, latent, n, n); returns the next input (B, n, latent)."""
        last, side, full = len(self.sides) - 1, self.sides[k], self.sides[-1]
        h = self.codebook[tokens].transpose(1, 2).reshape(len(tokens), -1, side, side)
        if k < last:
            h = F.interpolate(h, size=(full, full), mode="bicubic", align_corners=False)
        phi = self.phis[(9 * k >= 2 * last) + (2 * k >= last) + (9 * k >= 7 * last)]
        f_hat += 0.5 * h + 0.5 * phi(h)
        if k == last:
            return None
        small = F.interpolate(f_hat, size=(self.sides[k + 1],) * 2, mode="area")
        return small.flatten(2).transpose(1, 2)


class Norm(nn.Module):
    def __init__(self, take, name):
        super().__init__()
        self.weight, self.bias = nn.Parameter(take(name + ".weight")), nn.Parameter(
            take(name + ".bias"))

    def forward(self, x):
        return F.group_norm(x, 32, self.weight, self.bias, 1e-6)


class ResBlock(nn.Module):
    def __init__(self, take, name, has):
        super().__init__()
        self.norm1, self.norm2 = Norm(take, name + ".norm1"), Norm(take, name + ".norm2")
        self.conv1, self.conv2, self.shortcut = [
            Conv(take(f"{name}.{part}.weight"), take(f"{name}.{part}.bias"))
            if has(f"{name}.{part}.weight") else None
            for part in ("conv1", "conv2", "nin_shortcut")]

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.shortcut(x) if self.shortcut is not None else x)


class AttentionBlock(nn.Module):
    def __init__(self, take, name):
        super().__init__()
        self.norm = Norm(take, name + ".norm")
        self.qkv, self.out = [Conv(take(f"{name}.{p}.weight"), take(f"{name}.{p}.bias"))
                              for p in ("qkv", "proj_out")]

    def forward(self, x):
        batch, width, height, across = x.shape
        q, k, v = (self.qkv(self.norm(x)).permute(0, 2, 3, 1)
                   .reshape(batch, 1, height * across, 3, width).unbind(3))
        a = attend(q, k, v, width ** -0.5, "products")
        a = a.view(batch, height, across, width).permute(0, 3, 1, 2)
        return x + self.out(a)


class Decoder(nn.Module):
    def __init__(self, take, has, config):
        super().__init__()

        def conv(name):
            return Conv(take(name + ".weight"), take(name + ".bias"))
        levels = len(config["mult"])
        steps = [conv("post_quant_conv"), conv("decoder.conv_in"),
                 ResBlock(take, "decoder.mid.block_1", has),
                 AttentionBlock(take, "decoder.mid.attn_1"),
                 ResBlock(take, "decoder.mid.block_2", has)]
        for level in range(levels - 1, -1, -1):
            for i in range(config["blocks"] + 1):
                steps.append(ResBlock(take, f"decoder.up.{level}.block.{i}", has))
                if level == levels - 1:
                    steps.append(AttentionBlock(take, f"decoder.up.{level}.attn.{i}"))
            if level:
                steps.append(nn.Upsample(scale_factor=2, mode="nearest"))
                steps.append(conv(f"decoder.up.{level}.upsample.conv"))
        self.steps = nn.ModuleList(steps)
        self.norm_out, self.conv_out = Norm(take, "decoder.norm_out"), conv("decoder.conv_out")

    def forward(self, f_hat):
        """(B, latent, n, n) to pictures (B, 3, H, W) in 0..1."""
        x = f_hat.to(self.norm_out.weight.dtype).contiguous(memory_format=torch.channels_last)
        for step in self.steps:
            x = step(x)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return x.float().clamp(-1, 1).add(1).mul(0.5)


def pack_linears(module):
    for part in module.modules():
        if isinstance(part, Linear):
            part.pack()


def pack_convolutions(module, batch, latent):
    """Packs after one pass that shows each convolution its size."""
    hooks = []

    def note(part, inputs):
        part.size = list(inputs[0].shape)
    for part in module.modules():
        if isinstance(part, Conv):
            hooks.append(part.register_forward_pre_hook(note))
    module(torch.zeros(batch, *latent))
    for hook in hooks:
        hook.remove()
    for part in module.modules():
        if isinstance(part, Conv):
            part.pack(part.size)


class Peer:
    """A model from a file, its weights in `dtype`."""

    def __init__(self, path, dtype):
        tensors, meta = read_safetensors(path)
        config = json.loads(meta["variant.config"])
        self.transformer_config, self.tokenizer_config = config["transformer"], config["tokenizer"]

        def take(name):
            return tensors[name].to(dtype).contiguous()
        self.transformer = Transformer(take, self.transformer_config).eval()
        self.decoder = Decoder(take, tensors.__contains__, self.tokenizer_config).eval()
        self.quantizer = Quantizer(take, self.tokenizer_config).eval()
        self.dtype = dtype
        self.sides = self.transformer_config["sides"]

    def latent(self):
        return self.tokenizer_config["latent_dim"], self.sides[-1], self.sides[-1]

    def schedule(self, depth, bridge):
        """Layers by scale: all in the first `bridge` scales, then an equidistant choice."""
        full = self.transformer_config["depth"]
        few = kept_layers(full, depth or full)
        return [list(range(full)) if k < bridge else few for k in range(len(self.sides))]
