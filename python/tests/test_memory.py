"""Models that lie in memory: state dicts of arrays and tensors draw what the file draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import variant
from conftest import ROOT
from numpy.typing import NDArray

FILE = ROOT / "models/fashion/fashion.safetensors"


@pytest.fixture(scope="module")
def tensors() -> dict[str, NDArray[Any]]:
    """Of the shipped file, as arrays."""
    data = FILE.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    types = {"F16": np.float16, "F32": np.float32}
    arrays = {}
    for key, at in header.items():
        if key != "__metadata__":
            begin, end = at["data_offsets"]
            arrays[key] = np.frombuffer(data[8 + length + begin : 8 + length + end], types[at["dtype"]]).reshape(at["shape"])
    return arrays


def of_tokenizer(name: str) -> bool:
    return name.split(".")[0] in ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")


@pytest.fixture(scope="module")
def var(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in tensors.items() if not of_tokenizer(name) and "/" not in name}


@pytest.fixture(scope="module")
def vae(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in tensors.items() if of_tokenizer(name)}


def draw(engine: variant.Engine) -> NDArray[np.uint8]:
    """Every layer named, as a state dict knows nothing of the depths it was trained at."""
    return engine.generate([7], seed=5, depth=6, bridge=4, uncond_depth=2, cfg_late=3.0)[0].array


class Tensor:
    """What speaks DLPack, and nothing else."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def __dlpack__(self) -> Any:
        return self._array.__dlpack__()


class Refuses:
    def __dlpack__(self) -> Any:
        raise BufferError("not today")


class Capsule:
    def __dlpack__(self) -> Any:
        return "no capsule"


class Module:
    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def state_dict(self) -> Mapping[str, Any]:
        return self._tensors


def test_arrays_and_tensors_draw_what_the_file_draws(
    engine: variant.Engine, var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]
) -> None:
    sides = engine.info.sides
    want = draw(engine)
    with variant.Engine.from_torch(var, vae, sides=sides, heads=engine.info.heads) as arrays:
        assert np.array_equal(draw(arrays), want)
        assert arrays.info.depth == 12 and not arrays.info.supernet
    tensors = {name: Tensor(array.copy()) for name, array in var.items()}
    with variant.Engine.from_torch(Module(tensors), Module(vae), sides=sides, heads=engine.info.heads) as opened:
        assert np.array_equal(draw(opened), want)


def test_a_state_dict_is_told_its_classes_and_depths(
    engine: variant.Engine, var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]
) -> None:
    info = engine.info
    names = [str(name) for name in engine.classes]
    trained: dict[str, Any] = {"depths": info.depths, "bridge": info.bridge, "layers": info.layers, "uncond_depth": info.uncond_depth}
    late = "12:2.2,6:3,3:4,2:4"
    levels = np.concatenate([np.full(side * side, k) for k, side in enumerate(info.sides)])
    told = {**var, "lvl_1L": levels[None]}  # the original's buffer, instead of sides=
    with variant.Engine.from_torch(told, vae, heads=info.heads, class_names=names, cfg_late=late, **trained) as opened:
        assert opened.classes == engine.classes and opened.info.sides == info.sides
        assert opened.info.supernet and opened.info.depths == info.depths and opened.info.uncond_depth == info.uncond_depth
        want = engine.generate("Sneaker", seed=5, depth=6, cfg_late=3.0)[0].array
        assert np.array_equal(opened.generate("Sneaker", seed=5, depth=6)[0].array, want)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"depths": [2]}, ValueError, "bridge"),
        ({"uncond_depth": 2}, ValueError, "depths"),
        ({"depths": [99], "bridge": 4}, variant.ModelError, "99 layers"),
        ({"depths": [2], "bridge": 99}, ValueError, "bridge: 0 to 7"),
        ({"depths": [2], "bridge": 4, "layers": "zz"}, ValueError, "layers: one of equidistant"),
        ({"layers": "prefix"}, ValueError, "layers"),
        ({"depths": 2, "bridge": 4}, TypeError, "depths: "),
        ({"depths": [], "bridge": 4}, ValueError, "depths: 1 to 16"),
        ({"depths": [2, -1], "bridge": 4}, ValueError, "depths: 1 to 16"),
        ({"depths": [2], "bridge": "4"}, TypeError, "bridge: "),
        ({"depths": [2], "bridge": 4, "uncond_depth": -1}, ValueError, "uncond_depth: "),
        ({"depths": [2], "bridge": 4, "uncond_depth": "2"}, TypeError, "uncond_depth: "),
        ({"depths": [2], "bridge": 4, "cfg_late": 0}, ValueError, "cfg_late: "),
        ({"depths": [2], "bridge": 4, "cfg_late": "12:2.2,six:3"}, variant.FormatError, "supernet.guidance"),
        ({"depths": [2], "bridge": 4, "cfg_late": "12:many"}, ValueError, "cfg_late: "),
        ({"class_names": "T-shirt"}, TypeError, "class_names: a list of names"),
        ({"class_names": [None] * 10}, TypeError, "class_names: "),
        ({"class_names": ["a\0b"] * 10}, ValueError, "class_names: a text holds no NUL"),
        ({"class_names": ["one"]}, ValueError, "10 are wanted, not 1"),
        ({"heads": -2}, variant.ArgumentError, "heads is -2"),
        ({"depths": [2.5], "bridge": 4}, TypeError, "depths: 'float'"),
    ]
    for options, error, words in wrong:
        asked: dict[str, Any] = {"heads": info.heads, **options}
        with pytest.raises(error) as raised:
            variant.Engine.from_torch(var, vae, sides=info.sides, **asked)
        assert words in str(raised.value), options


def test_what_is_chosen_is_a_warning_of_the_caller_s(
    engine: variant.Engine, var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]
) -> None:
    both = {f"{part}.{name}": array for part in ("ema", "model") for name, array in var.items()}
    with pytest.warns(UserWarning, match="ema") as told:
        variant.Engine.from_torch(both, vae, sides=engine.info.sides, heads=engine.info.heads).close()
    assert [line.filename for line in told] == [__file__]


def test_what_cannot_be_taken_is_told(var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]) -> None:
    some = "word_embed.weight"
    wrong: list[tuple[Any, Any, type[Exception], str]] = [
        ({}, vae, ValueError, "empty"),
        (5, vae, TypeError, "int"),
        (var, None, variant.Error, ""),
        ({**var, some: [1.0]}, vae, TypeError, some),
        ({**var, some: var[some].astype(np.complex64)}, vae, TypeError, some + ": no array of complex"),
        ({**var, some: var[some].astype(">f4")}, vae, TypeError, some),
        ({**var, some: Refuses()}, vae, TypeError, some + ": its numbers cannot be had by DLPack: not today"),
        ({**var, some: Capsule()}, vae, TypeError, some),
        ({**var, "\ud800": var[some]}, vae, ValueError, "a tensor's name '\\ud800'"),
        ({**var, some: Tensor(np.asfortranarray(np.ones((3, 4), np.float32)))}, vae, ValueError, "gaps"),
        ({**var, some: var[some][:1]}, vae, variant.Error, ""),
        ({name: array for name, array in var.items() if name != some}, vae, variant.Error, ""),
    ]
    for first, second, error, words in wrong:
        try:
            variant.Engine.from_torch(first, second, sides=(1, 2, 3, 4, 5, 6, 8))
        except error as raised:
            assert words in str(raised)
        else:
            pytest.fail(f"taken: {error.__name__} {words}")


def test_torch(engine: variant.Engine, var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        tensors = {name: torch.nn.Parameter(torch.from_numpy(a.copy()).to(dtype), requires_grad=False) for name, a in var.items()}
        with variant.Engine.from_torch(tensors, vae, sides=engine.info.sides, heads=engine.info.heads) as opened:
            assert dtype == torch.bfloat16 or np.array_equal(draw(opened), draw(engine))
            assert opened.generate(1)[0].shape == (32, 32, 1)
    some = "word_embed.weight"
    negated = torch._neg_view(torch.from_numpy(-var[some].astype(np.float32)))
    assert negated.is_neg()
    with variant.Engine.from_torch({**var, some: negated}, vae, sides=engine.info.sides, heads=engine.info.heads) as opened:
        assert np.array_equal(draw(opened), draw(engine))
    none = [torch.empty(128, 16, device="meta"), torch.zeros(128, 16).to_sparse(), torch.zeros(128, 16, dtype=torch.float8_e4m3fn)]
    for tensor in none:
        with pytest.raises(TypeError, match=some):
            variant.Engine.from_torch({**var, some: tensor}, vae, sides=engine.info.sides, heads=engine.info.heads)


def test_a_preview_decoder_lies_beside(
    engine: variant.Engine, tensors: dict[str, NDArray[Any]], var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]
) -> None:
    how: dict[str, Any] = {"sides": engine.info.sides, "heads": engine.info.heads}
    want = engine.generate("Bag", seed=5, depth=6, bridge=4, uncond_depth=2, cfg_late=3.0, decoder="preview")[0].array
    wrapped = {f"module.{name}": array for name, array in vae.items()}
    ways: list[tuple[Any, Any, Any]] = [
        (var, vae, tensors), (var, wrapped, Module(tensors)), ({**var, **vae}, None, tensors), (tensors, None, None), (var, FILE, None),
        (var, {name: array for name, array in tensors.items() if name not in var}, None),
    ]  # fmt: skip
    for first, second, preview in ways:
        with variant.Engine.from_torch(first, second, preview=preview, **how) as opened:
            assert opened.info.preview_decoder
            made = opened.generate([8], seed=5, depth=6, bridge=4, uncond_depth=2, cfg_late=3.0, decoder="preview")[0].array
            assert np.array_equal(made, want)
    with variant.Engine.from_torch(var, vae, **how) as opened:
        assert not opened.info.preview_decoder
    part = {name: array for name, array in tensors.items() if "upsample" not in name}
    wrong: list[tuple[Any, Any, Any, type[Exception], str]] = [
        (var, vae, vae, ValueError, "preview: it holds no preview decoder"),
        (var, vae, 5, TypeError, "preview: a module or a state dict"),
        (var, vae, part, variant.ModelError, "preview decoder: 1 levels, its tokenizer has 3"),
        (var, vae, {name: a for name, a in tensors.items() if "conv_in" not in name}, ValueError, "preview: its training/preview_decoder.conv_in"),
        (var, FILE, tensors, ValueError, "preview: vae is a file"),
        (var, 5, None, TypeError, "vae: a module or a state dict"),
        (var, {}, None, ValueError, "vae: the state dict is empty"),
        (var, None, None, variant.ModelError, "vae: var holds no tokenizer"),
        ("x", vae, None, TypeError, "var: a module or a state dict"),
    ]  # fmt: skip
    for first, second, preview, error, words in wrong:
        with pytest.raises(error) as raised:
            variant.Engine.from_torch(first, second, preview=preview, **how)
        assert words in str(raised.value), words


def test_a_name_of_a_class_is_one_line(engine: variant.Engine, var: dict[str, NDArray[Any]], vae: dict[str, NDArray[Any]]) -> None:
    names = ["a\nb", "\x1b[2Jc", "d\x9be", "caf\u00e9", *map(str, range(4, 10))]
    with variant.Engine.from_torch(var, vae, class_names=names, sides=engine.info.sides, heads=engine.info.heads) as opened:
        assert opened.classes[:4] == ("a%0Ab", "%1B[2Jc", "d%C2%9Be", "caf\u00e9")
        assert opened.labels("a%0Ab") == [0]
