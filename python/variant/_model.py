"""What inspect and convert share: a model that is a path or lies in memory, and structs of the library as dataclasses."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Union

from . import _library
from ._library import Kept, Watch, path, text
from ._tensors import table
from ._variant import ffi, lib
from .data import is_path
from .engine import _listed, _options

Model = Union[str, "os.PathLike[str]", Mapping[str, Any], Any]
"""A file or folder; or a module of the original implementation, or its state dict (names to tensors of DLPack or NumPy arrays)."""

T = TypeVar("T")


class Opened:
    """Options of an engine that is not opened, and what is told while its model is looked at: lines for `warn`, which come from whichever
    thread computes, or, without it, a warning each in the caller's own at the end."""

    def __init__(
        self,
        model: Model,
        tokenizer: Model | None,
        sides: Sequence[int] | str | None,
        heads: int,
        part: str | None,
        config: Mapping[str, Any] | None,
        warn: Callable[[str], object] | None,
        threads: int = 0,
        backend: str | None = None,
        verify: bool = True,
    ) -> None:
        given = {"sides": _listed(sides), "part": part, "backend": backend, "model_config": None if config is None else json.dumps(config)}
        self.options, self.watch = _options(given, heads, threads, False, verify), Watch()
        _source(self.options, "model", model)
        if tokenizer is not None:
            _source(self.options, "tokenizer", tokenizer)
        self._lines: list[str] = []
        self.watch.warn = warn or self._lines.append
        self.options.struct.warn, self.options.struct.user = lib.vp_warn, self.watch.handle

    def tell(self) -> None:
        for line in self._lines:
            _library.warn(line)


def _source(options: Kept, field: str, model: Model) -> None:
    if is_path(model):
        place: Any = model
        options.set(field, path(place, field))
    else:
        table(options, field, model)


def told(kind: type[T], struct: Any, **more: Any) -> T:
    """A dataclass whose fields are called as the struct's members: texts are str or None, NaN is None. more: what is not so."""
    fields: Mapping[str, Any] = getattr(kind, "__dataclass_fields__")
    return kind(**{name: _plain(getattr(struct, name)) for name in fields if name not in more}, **more)


def _plain(value: Any) -> Any:
    if isinstance(value, ffi.CData):
        return text(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def each(kind: type[T], pointers: Any, count: int) -> tuple[T, ...]:
    """Likewise of an array of pointers to structs."""
    return tuple(told(kind, pointers[i]) for i in range(count))
