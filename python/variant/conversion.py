"""Any readable model to safetensors, in shards or packed too, or to state dicts for PyTorch: what `variant convert` does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._library import Kept, chars, interruptible, path, text
from ._model import Model, Opened, each
from ._variant import ffi, lib
from .data import Pictures, taken

if TYPE_CHECKING:
    from .engine import Cancel


@dataclass(frozen=True)
class ConvertedProduct:
    """How a product became integers. Errors are the L2 norm of what rounding changes of the product on the rows that were measured, over
    the product's own; None: not measured."""

    weight: str
    """its tensor"""
    type: str
    """"int8", "int4" """
    rows_seen: int
    """of its input, sampled over all pictures, scales and both branches; 0: none"""
    blocks: float | None
    """int8: with a scale a block of the input, as the model is ..."""
    blocks_folded: float | None
    """... and with channel factors folded into the norm before it"""
    rows: float | None
    """likewise with a scale a row"""
    rows_folded: float | None
    scale_of_rows: bool
    """chosen: one scale a row"""
    folded: float
    """chosen: the power of the input's part in the factors; 0: none are folded"""
    nearest: float | None
    """int4, on rows held back: to the nearest, ..."""
    weighed: float | None
    """... with squares weighed by what the channels are, ..."""
    made_up: float | None
    """... and with each number's rounding made up for by those behind it; the least was chosen"""


@dataclass(frozen=True)
class Conversion:
    """What was chosen for products that became integers; empty for types that need no choice."""

    pictures: int
    """that products were measured on; 0: none"""
    products: tuple[ConvertedProduct, ...]
    """of the transformer, in the file's order"""
    json: dict[str, Any] | None
    """as the file's metadata keep it under variant.int8"""


def convert(
    model: Model,
    output: str | os.PathLike[str],
    *,
    type: str | None = None,
    pack: str | None = None,
    force: bool = False,
    class_names: Sequence[str] | None = None,
    classes: str | os.PathLike[str] | None = None,
    uncond_depth: int = 0,
    cfg_late: float | str | None = None,
    calibrate: Pictures | None = None,
    calibrate_count: int | None = None,
    row_error: float | None = None,
    to: str | None = None,
    tokenizer_output: str | os.PathLike[str] | None = None,
    max_shard_bytes: int = 0,
    tokenizer: Model | None = None,
    sides: Sequence[int] | str | None = None,
    heads: int = 0,
    part: str | None = None,
    config: Mapping[str, Any] | None = None,
    threads: int = 0,
    backend: str | None = None,
    verify: bool = True,
    progress: Callable[[str, int, int], bool | None] | None = None,
    note: Callable[[str], object] | None = None,
    warn: Callable[[str], object] | None = None,
    cancel: Cancel | None = None,
) -> Conversion:
    """Reads what Engine would open (a tokenizer, a transformer or both; a file or folder, a module or a state dict), or FID's Inception,
    and writes `output`, whole or not at all.

    type: of weights, "f32" (default), "f16", "bf16", "int8" or "int4"; pack, instead: as the cpu backend computes with them, "bf16", "int8"
    or "int4". force: though numbers overflow or vanish. class_names: one a class, or classes, a file with a line each. uncond_depth, cfg_late:
    of a supernet, what its guidance takes by itself. calibrate: pictures (variant.Data: paths or an array) on whose token maps
    integers' errors are measured, calibrate_count of them (32); row_error (1.2): how much larger that of one scale a row may be. to="torch-names":
    the original implementation's state dict, with tokenizer_output that of the tokenizer. max_shard_bytes: several files of at most so many.
    config: of a state dict, what "variant.config" of a file says (docs/DATA.md). verify: as Engine's.

    progress gets what is being done, so many of so many (False from it: Stopped); note, one line on what the data hold; warn, one on what was
    chosen or passed over (default: warnings.warn). All three are called by another thread. Ctrl-C ends it, and so does a Cancel;
    no file is left then. Errors: ArgumentError, FileError, FormatError, ModelError, Stopped, Unsupported.

    >>> import variant, tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "small.safetensors")
    ...     made = variant.convert("models/fashion", file, type="int8")
    ...     variant.Engine(file, weights="int8").generate("Sneaker")[0].array.shape
    (32, 32, 1)
    >>> made.products[1].weight, made.products[1].type, made.pictures
    ('blocks.0.attn.mat_qkv.weight', 'int8', 0)
    """
    opened = Opened(model, tokenizer, sides, heads, part, config, warn, threads, backend, verify)
    options = Kept("variant_convert_options")
    options.set("output", path(output, "output"))
    paths = {"classes": classes, "tokenizer_output": tokenizer_output}
    late = None if cfg_late is None else str(cfg_late)
    given: dict[str, Any] = {**{n: None if p is None else path(p, n) for n, p in paths.items()}, "type": type, "pack": pack, "cfg_late": late, "to": to}
    numbers: dict[str, Any] = {"force": force, "uncond_depth": uncond_depth, "calibrate_count": calibrate_count, "row_error": row_error, "max_shard_bytes": max_shard_bytes}
    for name, value in {**given, **numbers}.items():
        if value is not None:
            options.set(name, value)
    if class_names is not None:
        named = [options.keep(chars(name, "class_names")) for name in class_names]
        options.struct.class_names = options.keep(ffi.new("char *[]", named))
        options.struct.class_count = len(named)
    if calibrate is not None:
        options.struct.calibrate = options.keep(taken(calibrate)).struct
    _listen(options, opened, progress, note, cancel)
    out = ffi.new("variant_conversion **")
    interruptible(lib.variant_convert, out, opened.options.struct, options.struct, watch=opened.watch)
    try:
        found = _conversion(out[0])
    finally:
        lib.variant_conversion_free(out)
    opened.tell()
    return found


def _listen(
    options: Kept,
    opened: Opened,
    progress: Callable[[str, int, int], bool | None] | None,
    note: Callable[[str], object] | None,
    cancel: Cancel | None,
) -> None:
    watch, struct = opened.watch, options.struct
    if cancel is not None:
        watch.cancel = cancel._flag
    watch.count, watch.note = progress, note
    struct.user, struct.cancel, struct.progress, struct.note = watch.handle, watch.cancel, lib.vp_doing, lib.vp_note


def _conversion(of: Any) -> Conversion:
    chosen = text(of.json)
    return Conversion(of.pictures, each(ConvertedProduct, of.products, of.product_count), None if chosen is None else json.loads(chosen))
