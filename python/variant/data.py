"""Pictures that are trained on, encoded or judged: paths, or arrays in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ._library import Kept, chars, listed, made, path
from ._variant import ffi
from .pictures import Picture

Pictures = Union["Data", str, "os.PathLike[str]", Sequence[Any], NDArray[np.uint8], Any]
"""A path that `--data` takes (folders with a sub-folder a class, IDX, .npz), several of them, an array, or a Data."""


@dataclass
class Data:
    """Pictures and how they are taken (variant_data of variant.h).

    pictures: paths, or (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8, or Pictures. labels: (N,) integers from 0, of an array. test, test_labels: an array
    that models are tested on; None: the share `holdout` of pictures. split: "train", "test", "all"; None: what the call says.
    """

    pictures: Any
    labels: Any = None
    test: Any = None
    test_labels: Any = None
    class_names: Sequence[str] | None = None
    holdout: float | None = None
    fit: str | None = None
    alpha: str | None = None
    split: str | None = None


def is_path(value: object) -> bool:
    return isinstance(value, (str, bytes, os.PathLike))


def taken(pictures: Pictures) -> Kept:
    """A variant_data with all that it points to."""
    data = pictures if isinstance(pictures, Data) else Data(pictures)
    kept = Kept("variant_data")
    source = data.pictures
    if is_path(source) or (isinstance(source, (list, tuple)) and source and all(map(is_path, source))):
        paths = [source] if is_path(source) else source
        names = [kept.keep(ffi.new("char[]", path(p, "pictures"))) for p in paths]
        kept.struct.paths = kept.keep(ffi.new("char *[]", names))
        kept.struct.path_count = len(names)
    else:
        kept.struct.array = _array(kept, source, data.labels, "pictures")
    if data.test is not None:
        kept.struct.test_array = _array(kept, data.test, data.test_labels, "test")
    if isinstance(data.class_names, str):
        raise TypeError("class_names: a list of names is wanted, not str")
    if data.class_names is not None:
        named = [kept.keep(chars(name, "class_names")) for name in listed(data.class_names, "class_names", None)]
        kept.struct.class_names = kept.keep(ffi.new("char *[]", named))
        kept.struct.class_count = len(named)
    for field in ("holdout", "fit", "alpha", "split"):
        value = getattr(data, field)
        if value is not None:
            kept.set(field, value)
    return kept


def _stacked(pictures: Any, what: str) -> NDArray[Any]:
    """One array of what may also be a picture, or a list of them."""
    if isinstance(pictures, Picture):
        pictures = [pictures]
    if isinstance(pictures, (list, tuple)) and any(isinstance(picture, Picture) for picture in pictures):
        pictures = [np.asarray(picture) for picture in pictures]
        if len({picture.shape for picture in pictures}) > 1:
            raise ValueError(f"{what}: pictures of one size are wanted")
    return np.asarray(pictures)


def _array(kept: Kept, pictures: Any, labels: Any, what: str) -> Any:
    array = _stacked(pictures, what)
    if array.dtype != np.uint8:
        raise TypeError(f"{what}: uint8 is wanted, not {array.dtype}")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"{what}: (N, H, W), (N, H, W, 1) or (N, H, W, 3) is wanted, not {np.shape(pictures)}")
    array = np.ascontiguousarray(array)
    out = kept.keep(made("variant_array"))
    out.pixels = kept.keep(ffi.from_buffer("uint8_t[]", array))
    out.count, out.height, out.width, out.channels = array.shape
    if labels is not None:
        out.labels = kept.keep(ffi.from_buffer("int32_t[]", integers(labels, (len(array),), "labels")))
    return out


def integers(values: Any, shape: tuple[int | None, ...], what: str) -> NDArray[np.int32]:
    """Whole numbers of 32 bits of a shape; None: any length there."""
    array = np.ascontiguousarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{what}: integers are wanted, not {array.dtype}")
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape)):
        wanted = ", ".join("N" if n is None else str(n) for n in shape)
        raise ValueError(f"{what}: ({wanted}) is wanted, not {array.shape}")
    if array.size and (array.min() < -(2**31) or array.max() > 2**31 - 1):
        raise ValueError(f"{what}: numbers of 32 bits are wanted")
    return array.astype(np.int32)
