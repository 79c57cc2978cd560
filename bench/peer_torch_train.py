"""Times a training step of VAR's transformer in PyTorch: the peer of `variant train supernet`.

    python bench/peer_torch_train.py --layers 8 --width 128 --heads 2 --batch 64 --way all
    python bench/peer_torch_train.py --check tests/golden/A --model A.safetensors

A step is what the program's is: teacher-forced on all tokens under the block-causal mask, cross
entropy, gradients clipped at norm 2, AdamW. A subnet step lets layers outside the subnet see only
the bridge's tokens, which is exact and cheaper. The tokens' embeddings are ready beforehand (the
program computes them in its step). --check compares loss and gradient norms with the reference
vectors, so that what is timed is known to be right.
"""
import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from peer_model import Quantizer, kept_layers, read_safetensors
from peer_torch import MALLOC, QUIET, Others, Priority, wait_for_quiet

WAYS = ["float32", "float32-products", "autocast", "autocast-products", "float32-compiled",
        "float32-products-compiled", "autocast-compiled", "autocast-products-compiled"]


class TrainBlock(nn.Module):
    def __init__(self, take, name, heads):
        super().__init__()
        self.heads = heads
        self.products = False
        for part in ("attn.mat_qkv.weight", "attn.q_bias", "attn.v_bias", "attn.proj.weight",
                     "attn.proj.bias", "attn.scale_mul_1H11", "ffn.fc1.weight", "ffn.fc1.bias",
                     "ffn.fc2.weight", "ffn.fc2.bias", "ada_lin.1.weight", "ada_lin.1.bias"):
            self.register_parameter(part.replace(".", "_"), nn.Parameter(take(name + part)))
        self.register_buffer("k_bias", torch.zeros_like(self.attn_q_bias))

    def forward(self, x, c, mask):
        """x (B, n, C), c = SiLU(class embedding) (B, C), mask (n, n) of who sees whom."""
        batch, count, width = x.shape
        six = F.linear(c, self.ada_lin_1_weight, self.ada_lin_1_bias).view(batch, 6, 1, width)
        gamma1, gamma2, scale1, scale2, shift1, shift2 = six.unbind(1)
        h = F.layer_norm(x, (width,), eps=1e-6) * (scale1 + 1) + shift1
        bias = torch.cat([self.attn_q_bias, self.k_bias, self.attn_v_bias])
        q, k, v = F.linear(h, self.attn_mat_qkv_weight, bias).view(
            batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scale = self.attn_scale_mul_1H11.clamp(max=math.log(100.0)).exp()
        q, k = (F.normalize(q, dim=-1) * scale).to(v.dtype), F.normalize(k, dim=-1).to(v.dtype)
        if self.products:  # plain products may be faster than the fused form
            seen = (q @ k.transpose(-1, -2)).float().masked_fill(~mask, float("-inf"))
            a = seen.softmax(-1).to(v.dtype) @ v
        else:
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        a = F.linear(a.transpose(1, 2).reshape(batch, count, width), self.attn_proj_weight,
                     self.attn_proj_bias)
        x = x + gamma1 * a
        h = F.layer_norm(x, (width,), eps=1e-6) * (scale2 + 1) + shift2
        h = F.gelu(F.linear(h, self.ffn_fc1_weight, self.ffn_fc1_bias), approximate="tanh")
        return x + gamma2 * F.linear(h, self.ffn_fc2_weight, self.ffn_fc2_bias)


class TrainModel(nn.Module):
    TOP = ("class_emb.weight", "pos_start", "pos_1LC", "lvl_embed.weight", "word_embed.weight",
           "word_embed.bias", "head_nm.ada_lin.1.weight", "head_nm.ada_lin.1.bias", "head.weight",
           "head.bias")

    def __init__(self, take, depth, heads, sides):
        super().__init__()
        for part in self.TOP:
            self.register_parameter(part.replace(".", "_"), nn.Parameter(take(part)))
        self.blocks = nn.ModuleList(TrainBlock(take, f"blocks.{i}.", heads) for i in range(depth))
        level = torch.cat([torch.full((side * side,), k) for k, side in enumerate(sides)])
        self.register_buffer("level", level)
        self.register_buffer("mask", level[:, None] >= level[None, :])

    def forward(self, inputs, labels, targets, kept, bridge):
        """Mean cross entropy. inputs (B, L - 1, latent); layers outside `kept` see the first
        `bridge` tokens only."""
        c = self.class_emb_weight[labels]
        x = torch.cat([c[:, None] + self.pos_start,
                       F.linear(inputs, self.word_embed_weight, self.word_embed_bias)], 1)
        x = x + self.lvl_embed_weight[self.level] + self.pos_1LC
        c = F.silu(c)
        for i, block in enumerate(self.blocks):
            if i in kept:
                x = block(x, c, self.mask)
            else:
                few = block(x[:, :bridge], c, self.mask[:bridge, :bridge])
                x = torch.cat([few, x[:, bridge:]], 1)
        width = x.shape[-1]
        scale, shift = F.linear(c, self.head_nm_ada_lin_1_weight, self.head_nm_ada_lin_1_bias).view(
            -1, 2, 1, width).unbind(1)
        x = F.layer_norm(x, (width,), eps=1e-6) * (scale + 1) + shift
        logits = F.linear(x, self.head_weight, self.head_bias)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def random_take(options, sides):
    """Values by name for training from nothing."""
    width, length, heads = options.width, sum(s * s for s in sides), options.heads
    hidden, codes, latent = 4 * width, options.codes, options.latent
    shapes = {"class_emb.weight": (options.classes + 1, width), "pos_start": (1, 1, width),
              "pos_1LC": (1, length, width), "lvl_embed.weight": (len(sides), width),
              "word_embed.weight": (width, latent), "word_embed.bias": (width,),
              "head_nm.ada_lin.1.weight": (2 * width, width),
              "head_nm.ada_lin.1.bias": (2 * width,),
              "head.weight": (codes, width), "head.bias": (codes,),
              "attn.mat_qkv.weight": (3 * width, width), "attn.q_bias": (width,),
              "attn.v_bias": (width,), "attn.proj.weight": (width, width),
              "attn.proj.bias": (width,), "attn.scale_mul_1H11": (1, heads, 1, 1),
              "ffn.fc1.weight": (hidden, width), "ffn.fc1.bias": (hidden,),
              "ffn.fc2.weight": (width, hidden), "ffn.fc2.bias": (width,),
              "ada_lin.1.weight": (6 * width, width), "ada_lin.1.bias": (6 * width,)}

    def take(name):
        shape = shapes[name.split(".", 2)[2] if name.startswith("blocks.") else name]
        return torch.randn(shape) * 0.02
    return take


def make_optimizer(model):
    """AdamW as the program's: no decay of biases, embeddings of place and attention scales."""
    free = ("bias", "pos_start", "pos_1LC", "lvl_embed_weight", "attn_scale_mul_1H11")
    groups = [[], []]
    for name, value in model.named_parameters():
        groups[name.endswith(free)].append(value)
    settings = {"lr": 1e-4, "betas": (0.9, 0.95), "eps": 1e-8}
    groups = [{"params": groups[0], "weight_decay": 0.05}, {"params": groups[1], "weight_decay": 0}]
    release = tuple(int(n) for n in torch.__version__.split(".")[:2])
    fused = release >= (2, 4)  # since then there is a fused form for processors
    return torch.optim.AdamW(groups, fused=fused, foreach=not fused, **settings)


def run_step(model, optimizer, batch, path, autocast):
    """Seconds of forward, backward and update."""
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(*batch, *path)
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    end = time.perf_counter()
    return forward - start, backward - forward, end - backward, end - start


def time_way(options, way, sides):
    torch.manual_seed(0)
    torch._dynamo.reset()
    length, bridge = sum(s * s for s in sides), sum(s * s for s in sides[:options.bridge])
    model = TrainModel(random_take(options, sides), options.layers, options.heads, sides)
    for block in model.blocks:
        block.products = "products" in way
    optimizer = make_optimizer(model)
    batch = (torch.randn(options.batch, length - 1, options.latent),
             torch.randint(0, options.classes + 1, (options.batch,)),
             torch.randint(0, options.codes, (options.batch, length)))
    run = torch.compile(model, dynamic=False) if "compiled" in way else model
    run.parameters = model.parameters
    paths = [("full", tuple(range(options.layers)), length)]
    if options.depth:
        paths.append((f"depth {options.depth}", tuple(kept_layers(options.layers, options.depth)),
                      bridge))
    for name, kept, few in paths:
        start = time.perf_counter()
        run_step(run, optimizer, batch, (kept, few), "autocast" in way)
        ready = time.perf_counter() - start
        samples, deadline = [], time.perf_counter() + options.patience
        while len([s for s in samples if s[1] < QUIET]) < options.repeat:
            if len(samples) >= options.repeat and time.perf_counter() > deadline:
                break
            wait_for_quiet(deadline)
            others = Others()
            with Priority(options.nice):
                took = [run_step(run, optimizer, batch, (kept, few), "autocast" in way)
                        for _ in range(options.steps)]
            samples.append(([statistics.median(t) for t in zip(*took)], others.share()))
        quiet = [s[0] for s in samples if s[1] < QUIET]
        values = list(zip(*(quiet or [s[0] for s in samples])))
        forward, backward, update, step = map(statistics.median, values)
        rates = sorted(options.batch / s for s in values[3])
        yield {"program": "PyTorch " + torch.__version__, "way": way, "path": name,
               "batch": options.batch, "layers": options.layers, "width": options.width,
               "pictures_per_second": round(options.batch / step, 2),
               "range": [round(rates[0], 2), round(rates[-1], 2)],
               "forward_ms": round(1e3 * forward, 2), "backward_ms": round(1e3 * backward, 2),
               "update_ms": round(1e3 * update, 2), "repeat": len(values[3]),
               "disturbed": not quiet, "ready_s": round(ready, 1)}


def check(options):
    """Loss and gradient norms against the reference vectors of a tiny model."""
    tensors, meta = read_safetensors(options.model)
    config = json.loads(meta["variant.config"])["transformer"]
    golden, _ = read_safetensors(os.path.join(options.check, "transformer.safetensors"))
    tokens = golden["tokens"].long()
    labels = read_safetensors(os.path.join(options.check, "generate.safetensors"))[0]["labels"]
    sides = config["sides"]
    model = TrainModel(lambda name: tensors[name].clone(), config["depth"], config["heads"], sides)
    quantizer = Quantizer(lambda name: tensors[name], {"sides": sides})
    f_hat, inputs, begin = torch.zeros(len(tokens), config["latent_dim"], *[sides[-1]] * 2), [], 0
    with torch.no_grad():
        for k, side in enumerate(sides[:-1]):
            inputs.append(quantizer.step(k, tokens[:, begin:begin + side * side], f_hat))
            begin += side * side
    worst = 0.0
    for run, bridge, depth in (("full", len(sides), config["depth"]), ("N2d3", 2, 3)):
        model.zero_grad()
        loss = model(torch.cat(inputs, 1), labels.long(), tokens,
                     tuple(kept_layers(config["depth"], depth)), sum(s * s for s in sides[:bridge]))
        loss.backward()
        want = float(golden[run + "/loss"])
        worst = max(worst, abs(float(loss) - want) / want)
        for name, value in model.named_parameters():
            place = "blocks." + name.split(".")[1] + "." if name.startswith("blocks.") else ""
            short = name.split(".")[-1]
            for key in golden:
                if key.startswith(f"{run}/norm/{place}") and \
                        key[len(f"{run}/norm/{place}"):].replace(".", "_") == short:
                    norm = float(golden[key])
                    off = abs(float(value.grad.norm()) - norm) - 1e-6
                    worst = max(worst, off / (norm + 1e-6))
        print(f"{run}: loss {float(loss):.7f}, reference {want:.7f}")
    print(f"largest relative difference of losses and gradient norms {worst:.1e}")
    return 0 if worst < 1e-3 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=0, help="default: width / 64")
    parser.add_argument("--sides", default="1,2,3,4,5,6,8")
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4, help="of the subnet step; 0: none")
    parser.add_argument("--bridge", type=int, default=4)
    parser.add_argument("--way", default="all")
    parser.add_argument("--steps", type=int, default=3, help="steps of a sample")
    parser.add_argument("--repeat", type=int, default=5, help="samples")
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--nice", type=int, default=0, help="priority of the timed steps")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", help="a folder of reference vectors")
    parser.add_argument("--model", help="for --check: the tiny model as a file")
    options = parser.parse_args()
    options.heads = options.heads or max(1, options.width // 64)
    if "MALLOC_MMAP_MAX_" not in os.environ:
        os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **MALLOC})
    torch.set_num_threads(options.threads)
    if options.check:
        return check(options)
    sides = [int(s) for s in options.sides.split(",")]
    for way in WAYS if options.way == "all" else options.way.split(","):
        for line in time_way(options, way, sides):
            if options.json:
                print(json.dumps(line), flush=True)
            else:
                print(f"{way:18} {line['path']:8} {line['pictures_per_second']:7.1f} pictures/s "
                      f"({line['range'][0]:.1f}..{line['range'][1]:.1f})  forward "
                      f"{line['forward_ms']:.0f} backward {line['backward_ms']:.0f} update "
                      f"{line['update_ms']:.1f} ms, {line['repeat']} samples"
                      f"{' DISTURBED' if line['disturbed'] else ''}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
