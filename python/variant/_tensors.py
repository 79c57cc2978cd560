"""State dicts in memory: tensors of PyTorch (or anything that speaks DLPack) and NumPy arrays, as the library takes them."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._library import Kept, chars, integer, listed
from ._variant import ffi

# DLPack's type codes: (code, bits) to what safetensors calls them; the library computes with the floats of up to 32 bits.
NAMES = {(2, 32): "f32", (2, 16): "f16", (4, 16): "bf16", (2, 64): "F64", (6, 8): "BOOL"}
NAMES |= {(0, bits): f"I{bits}" for bits in (8, 16, 32, 64)} | {(1, bits): f"U{bits}" for bits in (8, 16, 32, 64)}
ON_PROCESSOR = 1
SELECTORS = ("equidistant", "rounded", "prefix", "explicit")


# before the names of a preview decoder's tensors, which lie among a tokenizer's, and a name that every tokenizer has
PREVIEW, OF_TOKENIZER = "training/preview_decoder.", "quantize.embedding.weight"


def state_dict(model: Any, what: str) -> Mapping[str, Any]:
    """Of a module, its state dict; of a mapping, itself. Errors name the option."""
    found = model.state_dict() if hasattr(model, "state_dict") else model
    if not isinstance(found, Mapping):
        raise TypeError(f"{what}: a module or a state dict is wanted, not {type(model).__name__}")
    if not found:
        raise ValueError(f"{what}: the state dict is empty")
    return found


def with_preview(model: Any, what: str, preview: Any) -> Mapping[str, Any]:
    """A state dict that holds a tokenizer, and the preview decoder of another one beside it."""
    tensors, others = state_dict(model, what), state_dict(preview, "preview")
    found = {str(name): tensor for name, tensor in others.items() if PREVIEW in str(name)}
    if not found:
        raise ValueError(f"preview: it holds no preview decoder: no tensor's name begins with {PREVIEW}")
    wrapped = next((str(name)[: -len(OF_TOKENIZER)] for name in tensors if str(name).endswith(OF_TOKENIZER)), "")
    return {**tensors, **{wrapped + name[name.index(PREVIEW) :]: tensor for name, tensor in found.items()}}


def table(options: Kept, field: str, model: Any, what: str | None = None) -> None:
    """Puts a state dict into options.FIELD_tensors; the tensors live as long as the options. what: the option, where it is called otherwise."""
    tensors = state_dict(model, what or field)
    array = options.keep(ffi.new("variant_tensor[]", len(tensors)))
    for i, (name, tensor) in enumerate(tensors.items()):
        _fill(options, array[i], str(name), tensor)
    setattr(options.struct, field + "_tensors", array)
    setattr(options.struct, field + "_tensor_count", len(tensors))


def configuration(
    class_names: Sequence[str] | None,
    depths: Sequence[int] | None,
    bridge: int | None,
    layers: str,
    uncond_depth: int,
    cfg_late: float | str | None,
) -> str | None:
    """What a file's metadata would say of a state dict, as JSON; None: nothing. Errors name the options."""
    found: dict[str, Any] = {"format": 1}
    if class_names is not None:
        found["classes"] = _names(class_names)
    if (depths is None) != (bridge is None):
        raise ValueError("depths and bridge tell together what a supernet was trained at: give both or neither")
    if depths is None and (uncond_depth or cfg_late is not None or layers != "equidistant"):
        raise ValueError("layers, uncond_depth and cfg_late are a supernet's: give its depths and bridge")
    if depths is not None:
        found["supernet"] = _supernet(listed(depths, "depths"), integer(bridge, "bridge"), layers)
        guidance: dict[str, Any] = {}
        if integer(uncond_depth, "uncond_depth") < 0:
            raise ValueError(f"uncond_depth: layers, or 0, are wanted, not {uncond_depth}")
        if uncond_depth:
            guidance["uncond_depth"] = integer(uncond_depth, "uncond_depth")
        if cfg_late is not None:
            guidance["late"] = _late(cfg_late)
        if guidance:
            found["supernet"]["guidance"] = guidance
    return json.dumps(found) if len(found) > 1 else None


def _names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise TypeError("class_names: a list of names is wanted, not str")
    found = listed(names, "class_names", None)
    for name in found:
        chars(name, "class_names")
    return found


def _supernet(depths: list[int], bridge: int, layers: str) -> dict[str, Any]:
    most = len(ffi.new("variant_info *").depths)
    if not 1 <= len(depths) <= most or min(depths) < 1:
        raise ValueError(f"depths: 1 to {most} numbers of layers are wanted, not {depths}")
    if layers not in SELECTORS:
        raise ValueError(f"layers: one of {', '.join(SELECTORS)} is wanted, not {layers!r}")
    return {"bridge": bridge, "depths": depths, "layers": layers}


def _late(cfg_late: float | str) -> str:
    """A factor, or one for each depth; the library reads them once more."""
    text = str(cfg_late)
    factors = [text] if ":" not in text else [factor for _, _, factor in (pair.partition(":") for pair in text.split(","))]
    try:
        fit = all(0 < float(factor) <= 100 for factor in factors)
    except ValueError:
        fit = False
    if not fit:
        raise ValueError(f'cfg_late: a factor above 0 up to 100, or factors such as "12:2.2,6:3", are wanted, not {cfg_late!r}')
    return text


def _fill(options: Kept, out: Any, name: str, tensor: Any) -> None:
    out.name = options.keep(chars(name, f"a tensor's name {name!a:.80}"))
    dtype, shape, address, owner = _numpy(name, tensor) if isinstance(tensor, np.ndarray) else _dlpack(name, tensor)
    options.keep(owner)
    out.dtype = options.keep(ffi.new("char[]", dtype.encode()))
    out.rank = len(shape)
    out.shape = options.keep(ffi.new("int64_t[]", list(shape)))
    out.data = ffi.cast("void *", address)


def _numpy(name: str, tensor: Any) -> tuple[str, tuple[int, ...], int, object]:
    array = np.ascontiguousarray(tensor).reshape(np.shape(tensor))
    code = {"f": 2, "i": 0, "u": 1, "b": 6}.get(array.dtype.kind)
    dtype = NAMES.get((code, 8 * array.dtype.itemsize)) if code is not None else None
    if dtype is None or not array.dtype.isnative:
        raise TypeError(f"{name}: no array of {array.dtype} can be taken")
    return dtype, array.shape, array.ctypes.data, array


def _dlpack(name: str, tensor: Any) -> tuple[str, tuple[int, ...], int, object]:
    """Where a tensor lies, by DLPack; one of another device or with gaps is copied first."""
    if not hasattr(tensor, "__dlpack__"):
        raise TypeError(f"{name}: a tensor (DLPack) or a NumPy array is wanted, not {type(tensor).__name__}")
    # PyTorch's; each gives the same tensor where there is nothing to do. Its capsules do not tell that numbers are meant negated.
    try:
        for step in ("detach", "cpu", "resolve_neg", "contiguous"):
            tensor = getattr(tensor, step)() if hasattr(tensor, step) else tensor
        capsule = tensor.__dlpack__()
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        held = ffi.cast("DLManagedTensor *", get(capsule, b"dltensor")).dl_tensor
    except (BufferError, RuntimeError, TypeError, ValueError) as error:  # on no device, sparse, quantised, no capsule
        raise TypeError(f"{name}: its numbers cannot be had by DLPack: {error}") from error
    dtype = NAMES.get((held.dtype.code, held.dtype.bits))
    if dtype is None or held.dtype.lanes != 1:
        raise TypeError(f"{name}: a tensor of DLPack's type {held.dtype.code} with {held.dtype.bits} bits cannot be taken")
    if held.device.device_type != ON_PROCESSOR:
        raise TypeError(f"{name}: it lies on another device and cannot be moved")
    shape = tuple(held.shape[i] for i in range(held.ndim))
    if not _whole(held, shape):
        raise ValueError(f"{name}: it has gaps and cannot be copied")
    return dtype, shape, int(ffi.cast("uintptr_t", held.data)) + held.byte_offset, (tensor, capsule)


def _whole(held: Any, shape: tuple[int, ...]) -> bool:
    """Row-major without gaps?"""
    if held.strides == ffi.NULL:
        return True
    step = 1
    for i in reversed(range(len(shape))):
        if shape[i] > 1 and held.strides[i] != step:
            return False
        step *= shape[i]
    return True
