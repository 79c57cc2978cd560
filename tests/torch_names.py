"""State dicts of `variant convert --to torch-names`, loaded with strict=True by modules that have the names, parameters and buffers of the
original implementation's VAR and VQVAE, which compute with them what its reference files hold (tests/golden) and what the program draws.
    python torch_names.py VARIANT SOURCE_FOLDER      (needs torch and numpy)"""
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

variant, root = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(root / "bench"))
from peer_model import read_safetensors  # noqa: E402

torch.set_num_threads(2)
checks = 0


def check(truth, what):
    global checks
    assert truth, what
    checks += 1


def run(*words):
    done = subprocess.run([variant, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout + done.stderr


# ---- the transformer, under its names ----


class Attention(nn.Module):
    def __init__(self, width, heads, l2_norm):
        super().__init__()
        self.heads = heads
        if l2_norm:
            self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), 4.0).log())
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("zero_k_bias", torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x, mask):
        batch, length, width = x.shape
        qkv = F.linear(x, self.mat_qkv.weight, torch.cat([self.q_bias, self.zero_k_bias, self.v_bias]))
        q, k, v = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scale = 0.25 / math.sqrt(width // self.heads)
        if hasattr(self, "scale_mul_1H11"):
            q = F.normalize(q, dim=-1) * self.scale_mul_1H11.clamp(max=math.log(100)).exp()
            k, scale = F.normalize(k, dim=-1), 1.0
        weights = torch.softmax(q @ k.transpose(-1, -2) * scale + mask, -1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["width"]
        self.attn = Attention(width, c["heads"], c["l2_norm"])
        self.ffn = FeedForward(width, c["hidden"])
        if c["shared_adaln"]:
            self.ada_gss = nn.Parameter(torch.zeros(1, 1, 6, width))
        else:
            self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, condition, mask):
        shape = (len(x), 1, 6, x.shape[-1])
        six = condition.view(shape) + self.ada_gss if hasattr(self, "ada_gss") else self.ada_lin(condition).view(shape)
        gamma1, gamma2, scale1, scale2, shift1, shift2 = six.unbind(2)
        norm = x.shape[-1:]
        x = x + gamma1 * self.attn(F.layer_norm(x, norm, eps=1e-6) * (scale1 + 1) + shift1, mask)
        return x + gamma2 * self.ffn(F.layer_norm(x, norm, eps=1e-6) * (scale2 + 1) + shift2)


class BeforeHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x, condition):
        scale, shift = self.ada_lin(condition).view(len(x), 1, 2, -1).unbind(2)
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (scale + 1) + shift


class VAR(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, tokens = c["width"], sum(s * s for s in c["sides"])
        self.word_embed = nn.Linear(c["latent_dim"], width)
        self.class_emb = nn.Embedding(c["classes"] + 1, width)
        self.pos_start = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_1LC = nn.Parameter(torch.zeros(1, tokens, width))
        self.lvl_embed = nn.Embedding(len(c["sides"]), width)
        self.shared_ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width)) if c["shared_adaln"] else nn.Identity()
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        levels = torch.cat([torch.full((s * s,), k) for k, s in enumerate(c["sides"])])
        self.register_buffer("lvl_1L", levels[None])
        seen = levels[:, None] >= levels[None]
        self.register_buffer("attn_bias_for_masking", torch.where(seen, 0.0, -torch.inf)[None, None])
        self.head_nm = BeforeHead(width)
        self.head = nn.Linear(width, c["codes"])

    def forward(self, labels, inputs):
        """Logits (B, L, V), teacher-forced: inputs (B, L - 1, latent)."""
        condition = self.class_emb(labels)
        x = torch.cat([condition[:, None] + self.pos_start, self.word_embed(inputs)], 1)
        x = x + self.lvl_embed(self.lvl_1L) + self.pos_1LC
        shared = self.shared_ada_lin(condition)
        for block in self.blocks:
            x = block(x, shared, self.attn_bias_for_masking)
        return self.head(self.head_nm(x, condition))


# ---- the tokenizer ----


def norm(width):
    return nn.GroupNorm(32, width, eps=1e-6)


def conv(inside, outside, size=3, stride=1):
    return nn.Conv2d(inside, outside, size, stride, size // 2 if stride == 1 else 0)


class Residual(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = norm(inside), conv(inside, outside), norm(outside), conv(outside, outside)
        self.nin_shortcut = conv(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x):
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class PictureAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv, self.proj_out = norm(width), conv(width, 3 * width, 1), conv(width, width, 1)

    def forward(self, x):
        batch, width, height, across = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, 3, width, height * across).unbind(1)
        weights = torch.softmax(q.transpose(1, 2) @ k * width**-0.5, -1)
        return x + self.proj_out((v @ weights.transpose(1, 2)).view(x.shape))


def part(**modules):
    found = nn.Module()
    for name, module in modules.items():
        setattr(found, name, module)
    return found


def middle(width):
    return part(block_1=Residual(width, width), attn_1=PictureAttention(width), block_2=Residual(width, width))


def through_middle(mid, x):
    return mid.block_2(mid.attn_1(mid.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [c["base_width"] * m for m in c["mult"]]
        self.conv_in, self.down, inside = conv(c["channels"], c["base_width"]), nn.ModuleList(), c["base_width"]
        for level, width in enumerate(widths):
            last = level == len(widths) - 1
            blocks = nn.ModuleList(Residual(inside if i == 0 else width, width) for i in range(c["blocks"]))
            attn = nn.ModuleList(PictureAttention(width) for _ in blocks) if last else nn.ModuleList()
            self.down.append(part(block=blocks, attn=attn))
            if not last:
                self.down[-1].downsample = part(conv=conv(width, width, 3, 2))
            inside = width
        self.mid, self.norm_out, self.conv_out = middle(inside), norm(inside), conv(inside, c["latent_dim"])

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            for i, block in enumerate(level.block):
                x = block(x)
                x = level.attn[i](x) if len(level.attn) else x
            if hasattr(level, "downsample"):
                x = level.downsample.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv_out(F.silu(self.norm_out(through_middle(self.mid, x))))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [c["base_width"] * m for m in c["mult"]]
        inside, levels = widths[-1], []
        self.conv_in, self.mid = conv(c["latent_dim"], inside), middle(inside)
        for level in reversed(range(len(widths))):
            width, last = widths[level], level == len(widths) - 1
            blocks = nn.ModuleList(Residual(inside if i == 0 else width, width) for i in range(c["blocks"] + 1))
            attn = nn.ModuleList(PictureAttention(width) for _ in blocks) if last else nn.ModuleList()
            levels.insert(0, part(block=blocks, attn=attn))
            if level:
                levels[0].upsample = part(conv=conv(width, width))
            inside = width
        self.up, self.norm_out, self.conv_out = nn.ModuleList(levels), norm(inside), conv(inside, c["channels"])

    def forward(self, x):
        x = through_middle(self.mid, self.conv_in(x))
        for level in reversed(self.up):
            for i, block in enumerate(level.block):
                x = block(x)
                x = level.attn[i](x) if len(level.attn) else x
            if hasattr(level, "upsample"):
                x = level.upsample.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


class Quantizer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.sides = c["sides"]
        self.quant_resi = part(qresi_ls=nn.ModuleList(conv(c["latent_dim"], c["latent_dim"]) for _ in range(4)))
        self.register_buffer("ema_vocab_hit_SV", torch.zeros(len(self.sides), c["codes"]))
        self.embedding = nn.Embedding(c["codes"], c["latent_dim"])

    def forward(self, tokens):
        """f_hat (B, latent, n, n) of tokens (B, L), and the transformer's inputs (B, L - 1, latent)."""
        last, full, begin = len(self.sides) - 1, self.sides[-1], 0
        f_hat, inputs = 0.0, []
        for k, side in enumerate(self.sides):
            h = self.embedding(tokens[:, begin:begin + side * side]).transpose(1, 2).reshape(len(tokens), -1, side, side)
            begin += side * side
            h = F.interpolate(h, size=(full, full), mode="bicubic") if k < last else h
            phi = self.quant_resi.qresi_ls[(9 * k >= 2 * last) + (2 * k >= last) + (9 * k >= 7 * last)]
            f_hat = f_hat + 0.5 * h + 0.5 * phi(h)
            if k < last:
                inputs.append(F.interpolate(f_hat, size=(self.sides[k + 1],) * 2, mode="area").flatten(2).transpose(1, 2))
        return f_hat, torch.cat(inputs, 1)


class VQVAE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.encoder, self.decoder, self.quantize = Encoder(c), Decoder(c), Quantizer(c)
        self.quant_conv, self.post_quant_conv = conv(c["latent_dim"], c["latent_dim"]), conv(c["latent_dim"], c["latent_dim"])


# ---- what is checked ----


def loaded(module, state):
    """The module with this state dict; its buffers are what it had without."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    module.load_state_dict(state, strict=True)
    for name, buffer in module.named_buffers():
        check(state[name].dtype == buffer.dtype and torch.equal(buffer, buffers[name]), f"{name} is the buffer that the original makes")
    return module.eval()


def both(folder, c, kind, of="model.safetensors", *options):
    """VAR and VQVAE of a model's files, converted to the kind of file that `kind` ends in."""
    var, vae = folder / f"var{kind}", folder / f"vae{kind}"
    run("convert", folder / of, "--to", "torch-names", "-o", var, "--tokenizer-out", vae, *options)
    read = (lambda path: torch.load(path, weights_only=True)) if kind == ".pth" else (lambda path: read_safetensors(path)[0])
    return loaded(VAR(c["transformer"]), read(var)), loaded(VQVAE(c["tokenizer"]), read(vae)), (var, vae)


def near(got, want, what, most=2e-5):
    error = float((got - want).abs().max() / want.abs().max())
    check(error < most, f"{what}: {error:.2e} of the largest value")


def same_state(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@torch.no_grad()
def golden(name, folder):
    """A synthetic model of the reference files, through both kinds of file."""
    want, meta = read_safetensors(root / f"tests/golden/{name}/transformer.safetensors")
    pictures, _ = read_safetensors(root / f"tests/golden/{name}/tokenizer.safetensors")
    (folder / "config.json").write_text(meta["config"])
    run("synth", folder / "config.json", "-o", folder / "model.safetensors")
    c = json.loads(read_safetensors(folder / "model.safetensors")[1]["variant.config"])
    var, vae, files = both(folder, c, ".pth")
    tokens, labels = want["tokens"].long(), want["labels"].long()
    f_hat, inputs = vae.quantize(tokens)
    near(var(labels, inputs), want["full/logits"], f"{name}: logits")
    f_hat, inputs = vae.quantize(pictures["tokens"].long())
    near(inputs, pictures["var_input"], f"{name}: inputs")
    near(vae.decoder(vae.post_quant_conv(f_hat)).clamp(-1, 1), pictures["reconstruction"], f"{name}: reconstruction")
    var2, vae2, _ = both(folder, c, ".safetensors")
    check(same_state(var.state_dict(), var2.state_dict()) and same_state(vae.state_dict(), vae2.state_dict()), "either file, the same")
    mapped = torch.load(files[0], weights_only=True, mmap=True)
    check(same_state(mapped, var.state_dict()) and isinstance(mapped, dict), "torch.load(mmap=True)")
    # back, without --sides: the buffer lvl_1L tells them; and what PyTorch itself saves of the modules
    run("convert", files[0], "--tokenizer", files[1], "--heads", c["transformer"]["heads"], "-o", folder / "back.safetensors")
    torch.save(var.state_dict(), folder / "saved_var.pt")
    torch.save(vae.state_dict(), folder / "saved_vae.pt")
    run("convert", folder / "saved_var.pt", "--tokenizer", folder / "saved_vae.pt", "--heads", c["transformer"]["heads"], "-o",
        folder / "saved.safetensors")
    run("convert", folder / "model.safetensors", "-o", folder / "again.safetensors")
    bytes_of = [(folder / f"{n}.safetensors").read_bytes() for n in ("back", "saved", "again")]
    check(bytes_of[0] == bytes_of[2] and bytes_of[1] == bytes_of[2], "there and back is the same file")


@torch.no_grad()
def drawn(folder):
    """The shipped model: what the program draws, greedy and guided, is the likeliest code of PyTorch's logits."""
    c = json.loads(read_safetensors(root / "models/fashion/fashion.safetensors")[1]["variant.config"])
    said = run("convert", root / "models/fashion", "--to", "torch-names", "-o", folder / "alone.pth")
    check("--tokenizer-out" in said and "preview decoder" in said, "what is left out is said")
    (folder / "model.safetensors").write_bytes((root / "models/fashion/fashion.safetensors").read_bytes())
    var, vae, _ = both(folder, c, ".pth")
    run("generate", "-m", root / "models/fashion", "--class", "0,7", "--greedy", "--depth", c["transformer"]["depth"], "--uncond-depth", 0,
        "--cfg-scale", "1.5", "--tokens-out", folder / "tokens.safetensors", "-o", folder / "%d.png")
    tokens, _ = read_safetensors(folder / "tokens.safetensors")
    ids, labels = tokens["tokens"].long(), tokens["labels"].long()
    inputs = vae.quantize(ids)[1]
    given, free = var(labels, inputs), var(torch.full_like(labels, c["transformer"]["classes"]), inputs)
    last = len(c["transformer"]["sides"]) - 1
    t = 1.5 * var.lvl_1L[0, :, None] / last
    share = float((((1 + t) * given - t * free).argmax(-1) == ids).float().mean())
    check(share > 0.995, f"{share:.4f} of the drawn tokens are PyTorch's")
    half, _, _ = both(folder, c, ".pth", "model.safetensors", "--type", "bf16")
    near(half(labels, inputs), given, "weights in bf16", 0.05)


for name in ("A", "B"):
    with tempfile.TemporaryDirectory() as made:
        golden(name, Path(made))
with tempfile.TemporaryDirectory() as made:
    drawn(Path(made))
print(f"{checks} passed, 0 failed (torch {torch.__version__})")
