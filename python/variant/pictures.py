"""Pictures: NumPy arrays over the library's memory, which show themselves in a notebook and save with their settings."""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ._library import Kept, call, chars, integer, path, text, warn
from ._variant import ffi, lib


class Picture:
    """A picture: (H, W, C) uint8, C 1 (grey) or 3 (RGB).

    np.asarray(picture), torch.from_dlpack(picture) and memoryview(picture.array) share its memory, which lives as long as any of them.
    """

    def __init__(self, owner: object, struct: Any) -> None:
        self._owner = owner
        self._struct = struct

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)"""
        return self._struct.height, self._struct.width, self._struct.channels

    @property
    def __array_interface__(self) -> dict[str, Any]:
        address = int(ffi.cast("uintptr_t", self._struct.pixels))
        return {"shape": self.shape, "typestr": "|u1", "data": (address, False), "version": 3}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = np.asarray(_View(self, self._struct.pixels, self.shape, "|u1"))
        if copy is False and dtype not in (None, np.uint8):
            raise ValueError(f"a picture is of uint8: as {np.dtype(dtype)} it is a copy")
        return array.astype(np.uint8 if dtype is None else dtype, copy=bool(copy))

    @property
    def array(self) -> NDArray[np.uint8]:
        """(H, W, C) uint8 over the picture's own memory."""
        return np.asarray(self)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the processor's memory

    @property
    def label(self) -> int:
        """Its class; the number of classes where it has none."""
        return int(self._struct.label)

    @property
    def tokens(self) -> NDArray[np.int32]:
        """(L,) int32: its token maps, scale after scale."""
        return np.asarray(_View(self, self._struct.tokens, (self._struct.token_count,), "<i4"))

    @property
    def scales(self) -> list[NDArray[np.uint8]]:
        """The picture after each scale, each (H, W, C); empty without keep_scales."""
        count = self._struct.scale_count
        return [np.asarray(_View(self, self._struct.scale_pixels[i], self.shape, "|u1")) for i in range(count)]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that made this picture."""
        found: dict[str, Any] = json.loads(text(self._struct.settings) or "{}")
        return found

    def save(self, file: str | os.PathLike[str], quality: int = 0) -> None:
        """Writes .png, .jpg or .webp with the settings inside. quality: 1 to 100; 0: JPEG 95, WebP without loss."""
        call(lib.variant_picture_write, self._struct, path(file, "file"), integer(quality, "quality"))

    def encode(self, format: str = "png", quality: int = 0) -> bytes:
        """The file's bytes: "png", "jpeg" or "webp"."""
        name, data, size = chars(format, "format"), ffi.new("uint8_t **"), ffi.new("size_t *")
        call(lib.variant_picture_encode, self._struct, name, integer(quality, "quality"), data, size)
        try:
            return bytes(ffi.buffer(data[0], size[0]))
        finally:
            lib.free(data[0])

    def _repr_png_(self) -> bytes:
        return self.encode()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by its arrays and settings: another process, or a copy, has memory of its own."""
        has = self._struct.tokens != ffi.NULL
        return _picture_of, (self.array.copy(), self.label, self.tokens.copy() if has else None, text(self._struct.settings), [s.copy() for s in self.scales])

    def __repr__(self) -> str:
        height, width, channels = self.shape
        return f"<variant.Picture {height}x{width}x{channels} of class {self.label}>"


def _picture_of(
    array: NDArray[np.uint8],
    label: int,
    tokens: NDArray[np.int32] | None,
    settings: str | None,
    scales: list[NDArray[np.uint8]],
) -> Picture:
    """A picture over arrays of Python's."""
    struct = ffi.new("variant_picture *")
    alive: list[Any] = [array, tokens, *scales]
    struct.height, struct.width, struct.channels = array.shape
    struct.label, struct.pixels = label, ffi.from_buffer("uint8_t[]", array)
    if tokens is not None:
        struct.tokens, struct.token_count = ffi.from_buffer("int32_t[]", tokens), len(tokens)
    if settings is not None:
        alive.append(ffi.new("char[]", settings.encode()))
        struct.settings = alive[-1]
    if scales:
        rows = ffi.new("uint8_t *[]", [ffi.from_buffer("uint8_t[]", s) for s in scales])
        struct.scale_pixels, struct.scale_count = rows, len(scales)
        alive.append(rows)
    alive.append(struct)
    return Picture(alive, struct)


class _View:
    """Memory inside of a picture, for NumPy."""

    def __init__(self, owner: object, pointer: Any, shape: tuple[int, ...], typestr: str) -> None:
        self._owner = owner
        address = int(ffi.cast("uintptr_t", pointer))
        self.__array_interface__ = {"shape": shape, "typestr": typestr, "data": (address, False), "version": 3}


class Pictures(Sequence[Picture]):
    """The pictures of a call, and what making them took (`report`)."""

    def __init__(self, holder: Any, count: int, report: Any) -> None:
        self._memory: Any = ffi.gc(holder, lambda h: lib.variant_pictures_free(h, count))
        self._first = holder[0]
        self._pictures = [Picture(self._memory, ffi.addressof(holder[0][i])) for i in range(count)]
        self._report = report

    @functools.cached_property
    def report(self) -> Report:
        """What the call took."""
        return Report._of(self._report)

    def __reduce__(self) -> tuple[Any, ...]:
        return _pictures_of, (self._pictures, self.report)

    @classmethod
    def _told(cls, holder: Any, count: int, report: Any) -> Pictures:
        """What a call made; the library's warning of it, such as a depth that was not trained, is warned of."""
        if report.warning[0] != b"\0":
            warn(text(report.warning) or "")
        return cls(holder, count, report)

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> list[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | list[Picture]:
        return self._pictures[index]

    def __iter__(self) -> Iterator[Picture]:
        return iter(self._pictures)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("pictures lie apart in memory: an array of all of them is a copy")
        return np.stack([p.array for p in self._pictures]).astype(dtype or np.uint8, copy=False)

    def save_sheet(self, file: str | os.PathLike[str], columns: int = 0, zoom: int = 1, quality: int = 0) -> None:
        """All on one sheet; columns 0: about as many as rows."""
        columns = columns or max(1, round(len(self) ** 0.5))
        columns, zoom = integer(columns, "columns"), integer(zoom, "zoom")
        call(lib.variant_pictures_write_sheet, self._first, len(self), columns, zoom, path(file, "file"), integer(quality, "quality"))

    def save_animation(
        self,
        file: str | os.PathLike[str],
        columns: int = 0,
        zoom: int = 1,
        frame_seconds: float = 0.4,
        last_seconds: float = 2.0,
        plays: int = 0,
    ) -> None:
        """An animated PNG, a frame a scale; the call that drew needs keep_scales. columns as save_sheet's."""
        animation = Kept("variant_animation")
        columns = columns or max(1, round(len(self) ** 0.5))
        given = {"columns": columns, "zoom": zoom, "plays": plays, "frame_seconds": frame_seconds, "last_seconds": last_seconds}
        for name, value in given.items():
            animation.set(name, value)
        call(lib.variant_pictures_write_animation, self._first, len(self), animation.struct, path(file, "file"))

    def __repr__(self) -> str:
        height, width, channels = self._pictures[0].shape
        return f"<variant.Pictures: {len(self)} of {height}x{width}x{channels}>"

    def _repr_html_(self) -> str:
        shown = (base64.b64encode(p.encode()).decode() for p in self._pictures)
        style = f"margin: 2px; image-rendering: pixelated; width: {max(96, self._pictures[0].shape[1])}px"
        return "".join(f'<img src="data:image/png;base64,{p}" style="{style}">' for p in shown)


def _pictures_of(pictures: list[Picture], report: Report) -> Pictures:
    """Pictures that a pickle, or a copy, has one by one; sheets and animations read their structs in a row."""
    out = Pictures.__new__(Pictures)
    out._memory = [p._owner for p in pictures]
    out._first = ffi.new("variant_picture[]", len(pictures))
    for i, picture in enumerate(pictures):
        out._first[i] = picture._struct[0]
    out._pictures = pictures
    out.__dict__["report"] = report
    return out


@dataclass(frozen=True)
class Preview:
    """A picture after a scale: `scale` of `scales` are done."""

    picture: int
    """of the request, from 0"""
    pictures: int
    scale: int
    scales: int
    array: NDArray[np.uint8] = field(repr=False)
    """(H, W, C) uint8, the preview's own"""

    def encode(self, format: str = "png", quality: int = 0) -> bytes:
        """A file's bytes: "png", "jpeg" or "webp"; without settings."""
        picture = ffi.new("variant_picture *")
        picture.height, picture.width, picture.channels = self.array.shape
        picture.pixels = ffi.from_buffer("uint8_t[]", self.array)
        return Picture(self.array, picture).encode(format, quality)

    def _repr_png_(self) -> bytes:
        return self.encode()

    @classmethod
    def _of(cls, at: Any) -> Preview:
        shape = (at.height, at.width, at.channels)
        array = np.frombuffer(bytearray(ffi.buffer(at.pixels, shape[0] * shape[1] * shape[2])), np.uint8).reshape(shape)
        return cls(at.picture, at.pictures, at.scale, at.scales, array)


@dataclass(frozen=True)
class Report:
    """What a call took; seconds, bytes."""

    total_seconds: float
    condition_seconds: float
    transformer_seconds: float
    sampling_seconds: float
    quantizer_seconds: float
    decoder_seconds: float
    scale_seconds: tuple[float, ...]
    kv_peak_bytes: int
    kv_end_bytes: int
    arena_peak_bytes: int
    peak_resident_bytes: int
    depths: str
    """layers of every scale: "8,8,8,4,4,4" """
    uncond_depths: str
    warning: str
    """"" or one line"""

    @classmethod
    def _of(cls, report: Any) -> Report:
        names = [n for n in cls.__dataclass_fields__ if n.endswith(("_seconds", "_bytes")) and n != "scale_seconds"]
        plain: dict[str, Any] = {n: getattr(report, n) for n in names}
        texts: dict[str, Any] = {n: text(getattr(report, n)) or "" for n in ("depths", "uncond_depths", "warning")}
        return cls(scale_seconds=tuple(report.scale_seconds[0 : report.scales]), **plain, **texts)
