"""Model files looked into and converted, and scores at several seeds: numbers and files that the program makes too."""

from __future__ import annotations

import _thread
import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import variant
from conftest import ROOT, Program, flip
from numpy.typing import NDArray

FASHION = ROOT / "models/fashion"


def state_dict(depth: int = 2, width: int = 64, codes: int = 64, latent: int = 8, sides: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:
    """A transformer of random weights, as the original implementation names and shapes them (attention heads of 64)."""
    random, tokens, classes = np.random.default_rng(1), sum(s * s for s in sides), 3
    shapes: dict[str, tuple[int, ...]] = {
        "class_emb.weight": (classes + 1, width), "pos_start": (1, 1, width), "pos_1LC": (1, tokens, width),
        "lvl_embed.weight": (len(sides), width), "word_embed.weight": (width, latent), "word_embed.bias": (width,),
        "head_nm.ada_lin.1.weight": (2 * width, width), "head_nm.ada_lin.1.bias": (2 * width,),
        "head.weight": (codes, width), "head.bias": (codes,),
    }  # fmt: skip
    for i in range(depth):
        b = f"blocks.{i}."
        shapes |= {
            b + "attn.scale_mul_1H11": (1, width // 64, 1, 1), b + "attn.q_bias": (width,), b + "attn.v_bias": (width,),
            b + "attn.mat_qkv.weight": (3 * width, width), b + "attn.proj.weight": (width, width), b + "attn.proj.bias": (width,),
            b + "ffn.fc1.weight": (4 * width, width), b + "ffn.fc1.bias": (4 * width,), b + "ffn.fc2.weight": (width, 4 * width),
            b + "ffn.fc2.bias": (width,), b + "ada_lin.1.weight": (6 * width, width), b + "ada_lin.1.bias": (6 * width,),
        }  # fmt: skip
    return {name: random.standard_normal(shape, np.float32) / 8 for name, shape in shapes.items()}


def test_an_inspection_is_the_program_s(program: Program) -> None:
    found = variant.inspect(FASHION, tensors=True)
    told = json.loads(program("inspect", "--json", "--tensors", FASHION))
    assert found.json == told and found.hash and found.network is None and found.damaged == ()
    model, tokenizer = found.transformer, found.tokenizer
    assert model is not None and tokenizer is not None and found.preview is not None
    assert model.sides == tokenizer.sides and model.tokens == tokenizer.tokens == 155 and model.integers is None
    assert model.supernet and model.depths and 12 in model.cfg_lates and model.costs[0].saved >= 0
    assert {file.format for file in found.files} == {"safetensors"} and any(part.taken for file in found.files for part in file.parts)
    head = next(t for t in found.tensors if t.name.endswith("blocks.0.attn.proj.weight"))
    assert head.shape == (128, 128) and head.numbers == 128 * 128 and head.not_finite == 0
    assert variant.inspect(FASHION).tensors == ()
    judge = variant.inspect(FASHION / "classifier.safetensors")
    assert judge.network is not None and judge.network.classes == 10 and judge.transformer is None


def test_a_state_dict_is_inspected_and_converted(tmp_path: Path) -> None:
    weights, config = state_dict(), {"format": 1, "classes": ["a", "b", "c"]}
    found = variant.inspect(weights, sides=[1, 2, 3], config=config).transformer
    assert found is not None and (found.depth, found.width, found.class_names) == (2, 64, ("a", "b", "c"))
    variant.convert(weights, tmp_path / "model.safetensors", sides=[1, 2, 3], config=config)
    again = variant.inspect(tmp_path / "model.safetensors").transformer
    assert again == found or (again is not None and again.class_names == found.class_names and again.sides == found.sides)
    weights["head.bias"][3] = np.nan
    assert [t.name for t in variant.inspect(weights, sides=[1, 2, 3]).damaged] == ["head.bias"]


def test_a_conversion_is_the_program_s(program: Program, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    made = variant.convert(FASHION, tmp_path / "a.safetensors", type="bf16", progress=lambda doing, done, total: seen.append((doing, done, total)))
    program("convert", FASHION, "-o", tmp_path / "b.safetensors", "--type", "bf16")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert made == variant.Conversion(0, (), None) and seen and seen[-1][1] == seen[-1][2] and seen[-1][0]
    pixels: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, (8, 32, 32), np.uint8)
    labelled = variant.Data(pixels, [0] * 8, class_names=["Sneaker"])
    chosen = variant.convert(FASHION, tmp_path / "c.safetensors", type="int8", calibrate=labelled, calibrate_count=2, row_error=100.0)
    assert chosen.pictures == 2 and chosen.json is not None and all(p.rows is not None for p in chosen.products if p.rows_seen)
    assert any(p.scale_of_rows for p in chosen.products) and chosen.products[0].nearest is None
    with variant.Engine(tmp_path / "c.safetensors", weights="int8") as engine:
        assert engine.classes[7] == "Sneaker"
    variant.convert(FASHION, tmp_path / "d.safetensors", class_names=[f"kind {i}" for i in range(10)], uncond_depth=3, cfg_late=2.5)
    told = variant.inspect(tmp_path / "d.safetensors").transformer
    assert told is not None and told.class_names[9] == "kind 9" and told.uncond_depth == 3 and told.cfg_lates[12] == 2.5
    lines: list[str] = []
    variant.convert(FASHION, tmp_path / "var.pth", to="torch-names", tokenizer_output=tmp_path / "vae.pth", warn=lines.append)
    assert lines == ["the preview decoder is not written: the original has none"]
    (tmp_path / "cut").mkdir()
    variant.convert(FASHION, tmp_path / "cut/e.safetensors", max_shard_bytes=2_000_000)
    assert (tmp_path / "vae.pth").exists() and len(list((tmp_path / "cut").glob("e-*-of-*.safetensors"))) > 1


def test_a_conversion_that_is_stopped_leaves_no_file(tmp_path: Path) -> None:
    cancel = variant.Cancel()
    cancel.set()
    with pytest.raises(variant.Stopped):
        variant.convert(FASHION, tmp_path / "a.safetensors", cancel=cancel)
    with pytest.raises(variant.Stopped):
        variant.convert(FASHION, tmp_path / "a.safetensors", progress=lambda doing, done, total: False)

    def fails(doing: str, done: int, total: int) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        variant.convert(FASHION, tmp_path / "a.safetensors", progress=fails)

    def interrupts(doing: str, done: int, total: int) -> None:
        if done == 1:
            _thread.interrupt_main()
            time.sleep(0.5)

    with pytest.raises(KeyboardInterrupt):
        variant.convert(FASHION, tmp_path / "a.safetensors", progress=interrupts)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_a_file_or_an_option_is_told(tmp_path: Path) -> None:
    convert: Any = variant.convert
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (FASHION, {"type": "f64"}, variant.ArgumentError, "f64"),
        (FASHION, {"type": "bf16", "pack": "int8"}, variant.ArgumentError, "pack"),
        (FASHION, {"class_names": ["one"]}, variant.ModelError, "10 classes"),
        (FASHION, {"class_names": ["a\0"]}, ValueError, "NUL"),
        (FASHION, {"calibrate_count": "many"}, TypeError, "calibrate_count"),
        (FASHION, {"calibrate": np.zeros((2, 2), np.uint8)}, ValueError, "pictures"),
        (tmp_path / "nowhere", {}, variant.FileError, "nowhere"),
        ({}, {}, ValueError, "empty"),
        (5, {}, TypeError, "int"),
    ]
    for model, options, error, words in refused:
        with pytest.raises(error) as raised:
            convert(model, tmp_path / "a.safetensors", **options)
        assert words in str(raised.value), options
    with pytest.raises(variant.FileError):
        variant.inspect(tmp_path / "nowhere")
    (tmp_path / "odd").write_bytes(b"no model")
    with pytest.raises(variant.FormatError):
        variant.inspect(tmp_path / "odd")
    assert not (tmp_path / "a.safetensors").exists()


def test_lines_of_a_model_are_warnings_or_a_function_s(tmp_path: Path) -> None:
    weights = {f"{part}.{name}": w for part in ("ema", "model") for name, w in state_dict().items()}
    lines: list[str] = []
    variant.inspect(weights, sides=[1, 2, 3], warn=lines.append)
    assert len(lines) == 1 and "ema" in lines[0]
    with pytest.warns(UserWarning, match="ema") as told:
        variant.convert(weights, tmp_path / "a.safetensors", sides=[1, 2, 3])
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        variant.inspect(weights, sides=[1, 2, 3], part="model")


def test_scores_at_several_seeds(engine: variant.Engine, program: Program) -> None:
    seen: dict[int, variant.Scores] = {}
    steps: list[str] = []
    found = variant.evaluate_seeds(
        engine, [3, 1], features=FASHION, draws=2, n=12, depth=2, finished=seen.__setitem__, progress=lambda doing, done, total: steps.append(doing)
    )
    assert found.seeds == (3, 1) and list(seen) == [3, 1] and tuple(seen.values()) == found.scores and "pictures" in steps
    alone = variant.evaluate(engine, features=FASHION, draws=2, n=12, depth=2, seed=1)
    assert alone.inception_score == found.scores[1].inception_score
    told = json.loads(program("eval", "-m", FASHION, "--features", FASHION, "--seeds", "3,1", "--draws", 2, "-n", 12, "--depth", 2, "--json"))
    assert told["seeds"] == found.json["seeds"] and found.json["scores"]["inception_score"] == found.mean.inception_score
    shares = [s.class_share for s in found.scores]
    assert found.mean.frechet is None and None not in shares and found.least.class_share == min(s for s in shares if s is not None)
    assert found.deviation.inception_score is not None and found.deviation.inception_score > 0
    wrong: list[tuple[list[Any], dict[str, Any], type[Exception]]] = [
        ([], {}, variant.ArgumentError), ([1, 1], {}, variant.ArgumentError), (["one"], {}, TypeError), ([-1], {}, OverflowError), ([1], {"seed": 2}, TypeError),
    ]  # fmt: skip
    for seeds, options, error in wrong:
        with pytest.raises(error):
            variant.evaluate_seeds(engine, seeds, features=FASHION, n=12, **options)


def test_an_interrupt_ends_scores_and_leaves_the_finished_ones(engine: variant.Engine) -> None:
    seen: list[int] = []

    def first(seed: int, scores: variant.Scores) -> None:
        seen.append(seed)
        threading.Timer(0.1, _thread.interrupt_main).start()

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        variant.evaluate_seeds(engine, list(range(200)), features=FASHION, draws=0, n=40, finished=first)
    assert 1 <= len(seen) < 200 and time.monotonic() - begin < 60

    def fails(seed: int, scores: variant.Scores) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        variant.evaluate_seeds(engine, [1, 2], features=FASHION, draws=0, n=12, depth=2, finished=fails)
    with pytest.raises(variant.Stopped):
        variant.evaluate_seeds(engine, [1], features=FASHION, n=12, progress=lambda doing, done, total: False)


def test_a_bit_that_changed_is_refused_unless_asked(tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.safetensors", tmp_path / "damaged.safetensors"
    variant.convert(FASHION, whole)
    name = "blocks.2.attn.mat_qkv.weight"
    flip(whole, name, damaged)
    with pytest.raises(variant.FormatError) as raised:
        variant.Engine(damaged)
    assert "damaged.safetensors" in str(raised.value) and name in str(raised.value)
    with pytest.raises(variant.FormatError):
        variant.convert(damaged, tmp_path / "no")
    assert [(tensor.name, tensor.changed) for tensor in variant.inspect(damaged).damaged] == [(name, True)]
    assert not variant.inspect(damaged, verify=False).damaged and not variant.inspect(whole).damaged
    with variant.Engine(damaged, verify=False) as engine:
        assert engine.info.depth == 12
    variant.convert(damaged, tmp_path / "taken", verify=False)
    assert not variant.inspect(tmp_path / "taken").damaged


def test_so_is_one_of_a_tokenizer(engine: variant.Engine, tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.safetensors", tmp_path / "damaged.safetensors"
    variant.convert(FASHION, whole)
    name = "decoder.mid.block_1.conv1.weight"
    flip(whole, name, damaged)
    with pytest.raises(variant.FormatError, match=name):
        variant.Tokenizer(damaged)
    with variant.Tokenizer(damaged, verify=False) as tokenizer:
        assert tokenizer.decode(np.zeros((1, tokenizer.length), np.int32)).shape == (1, 32, 32, 1)
    options: list[dict[str, Any]] = [{"verify": False}, {"threads": 2}, {"weights": "bf16"}, {"sides": [1, 2]}]
    for option in options:
        with pytest.raises(TypeError, match="of a tokenizer in a file"):
            variant.Tokenizer(engine, **option)
    with variant.Tokenizer(whole, sides=engine.info.sides) as tokenizer:
        assert tokenizer.sides == engine.info.sides
    with pytest.raises(variant.ArgumentError, match="sides"):
        variant.Tokenizer(whole, sides="none")

CUT = """
import os, shutil, sys
import variant
variant.guard_files()
variant.guard_files()
engine = variant.Engine(sys.argv[1])
os.truncate(sys.argv[1], 5000)
try:
    engine.generate("Bag")
except variant.FileError as error:
    print(error)
shutil.copy(sys.argv[2], sys.argv[1])
print(variant.Engine(sys.argv[1]).generate("Bag")[0].array.shape)
"""


def test_a_file_that_is_cut_short_fails_calls_alone(tmp_path: Path) -> None:
    model, whole = tmp_path / "model.safetensors", tmp_path / "whole.safetensors"
    variant.convert(FASHION, whole)
    shutil.copy(whole, model)
    done = subprocess.run([sys.executable, "-c", CUT, str(model), str(whole)], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert done.stdout == f"{model} was cut short while it was in use\n(32, 32, 1)\n", done
