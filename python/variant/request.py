"""What a request may say: options by the names of the command line, as a C struct."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Union

import numpy as np
from numpy.typing import NDArray

from ._library import NULL, Kept, Watch, array_of, call, chars, having, listed, path, unknown, wrong
from ._variant import ffi, lib

if TYPE_CHECKING:
    from .engine import Cancel, Engine
    from .pictures import Preview
    from .plan import Plan

What = Union[str, int, Sequence[int], Sequence[str], NDArray[Any]]
"""Which class: a name, a number, "random", "all", "uncond", names between commas; or names or labels, one a picture."""

OTHERS = {
    "guidance_scale": "cfg_scale",
    "num_images_per_prompt": "n",
    "num_inference_steps": "depth: a picture has as many steps as the model has scales",
    "generator": "seed",
    "prompt": "the first argument: a class",
    "class_labels": "the first argument",
    "device": "Engine(backend=...)",
    "dtype": "Engine(weights=...)",
}
"""Names of diffusers' pipelines, and what takes their place."""



@dataclass(frozen=True)
class Progress:
    """Where a call is."""

    pictures_done: int
    pictures: int
    scale: int
    """scales finished in this batch, of `scales`"""
    scales: int


class Options(TypedDict, total=False):
    """Keyword arguments of every call that draws. What is not given is as the command line's default.

    n, batch, first_image: pictures, so many at a time, number of the first. seed: picture i depends on (seed, first_image + i)
    alone; -1: another one each time. depth, bridge, depths, layers: layers of the late scales, scales at full depth before them; of every
    scale; which they are. uncond_depth, uncond_depths, uncond_layers: likewise of guidance's unconditional branch. cfg_scale, cfg_scales,
    cfg_late: classifier-free guidance, at every scale, its factor where that branch is the shallower one. top_k, top_p, greedy, smooth: how
    codes are drawn. scales: draw so many alone. decoder: "full" or "preview". keep_scales: keep the picture after each scale. retain_kv: keep keys
    and values to the end. given_tokens, given_scales: (N, L) token maps to begin with, of which so many scales count. edit: pictures to
    draw a part of again. like: a picture's file, whose settings are what is not given. plan: what Engine.plan chose. cancel: a Cancel.
    """

    n: int
    """pictures (1)"""
    batch: int
    """pictures at a time (8); results do not depend on it"""
    seed: int
    """picture i depends on (seed, first_image + i) alone (0); up to 2**64 - 1; -1: another one each time"""
    first_image: int
    depth: int
    """layers of the late scales (all)"""
    bridge: int
    """scales at full depth before them"""
    depths: Union[str, Sequence[int]]
    """layers of every scale"""
    layers: str
    """"equidistant", "rounded", "prefix" or lists of layers"""
    uncond_depth: int
    """layers of guidance's unconditional branch in the late scales; 0: as many"""
    uncond_depths: Union[str, Sequence[int]]
    uncond_layers: str
    cfg_scale: float
    """classifier-free guidance (1.5); 0: off"""
    cfg_scales: Sequence[float]
    """its weight at every scale instead"""
    cfg_late: float
    top_k: int
    """0: off (900)"""
    top_p: float
    """0 or 1: off (0.96)"""
    greedy: bool
    smooth: bool
    scales: int
    """draw so many alone"""
    decoder: str
    """"full" or "preview" """
    keep_scales: bool
    """keep the picture after each scale: Picture.scales"""
    retain_kv: bool
    given_tokens: NDArray[np.int32]
    """(N, L) token maps to begin with ..."""
    given_scales: int
    """... of which so many scales count (all)"""
    edit: "Edit | Sequence[Edit]"
    """pictures to draw a part of again; the engine must have its encoder"""
    like: "str | os.PathLike[str]"
    """a picture of this program, whose settings are what is not given"""
    plan: "Plan"
    """the schedule and batch that Engine.plan chose"""
    cancel: "Cancel"
    """ends the call with Stopped once it is set"""


PLAIN = (
    "batch seed first_image depth bridge layers uncond_depth uncond_layers cfg_scale cfg_late top_k top_p greedy smooth "
    "scales decoder keep_scales retain_kv given_scales"
).split()


@dataclass
class Edit:
    """A picture of which a part is drawn again (variant_edit of variant.h has what each option means).

    picture: (H, W), (H, W, 1) or (H, W, 3) uint8. mask: (H, W), bool or uint8, where True or 128 and above is drawn again; None: nothing.
    """

    picture: Any
    mask: Any = None
    grow: int = 0
    feather: int = -1
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0
    fit: str | None = None
    pad: bool = False
    fill: str | None = None
    codes: str | None = None
    keep: float = 1.0
    pull: float = 1.0


def pixels(array: Any, what: str) -> NDArray[np.uint8]:
    """(H, W, C) uint8, contiguous; TypeError or ValueError of anything else."""
    if isinstance(array, (str, bytes, os.PathLike)):
        raise TypeError(f"{what}: a picture or an array is wanted, not a path: PIL or imageio read files")
    given = np.asarray(array)
    if given.dtype != np.uint8:
        raise TypeError(f"{what}: uint8 is wanted, not {given.dtype}")
    if given.ndim == 2:
        given = given[:, :, None]
    if given.ndim != 3 or given.shape[2] not in (1, 3) or 0 in given.shape:
        raise ValueError(f"{what}: (H, W), (H, W, 1) or (H, W, 3) is wanted, not {np.shape(array)}")
    return np.ascontiguousarray(given)


def _mask(array: Any, height: int, width: int) -> NDArray[np.uint8]:
    given = np.asarray(array)
    if given.dtype == np.bool_:
        given = given.astype(np.uint8) * np.uint8(255)
    if given.dtype != np.uint8:
        raise TypeError(f"mask: bool or uint8 is wanted, not {given.dtype}")
    if given.shape != (height, width):
        raise ValueError(f"mask: the picture's ({height}, {width}) is wanted, not {given.shape}")
    return np.ascontiguousarray(given)


class Request(Kept):
    """A variant_request made of keyword arguments, with all it points to."""

    def __init__(self, engine: Engine, what: What | None, options: Options) -> None:
        super().__init__("variant_request")
        self.watch = Watch()
        self._engine = engine
        left: dict[str, Any] = dict(options)
        like = left.pop("like", None)
        if like is not None:
            self._like(engine, like)
        if what is not None:
            self._what(what)
        elif like is None:
            self._what("random")
        plan = left.pop("plan", None)
        if like is not None:
            self._other_layers(left, plan is not None)
        if plan is not None:
            lib.variant_plan_apply(having(plan, "_struct", "plan: a Plan of Engine.plan")._struct, self.struct)
        cancel = left.pop("cancel", None)
        self.cancel = cancel
        if cancel is not None:
            self.watch.cancel = having(cancel, "_flag", "cancel: a Cancel")._flag
        self._options(left)
        self.struct.user = self.watch.handle
        self.struct.progress = lib.vp_progress
        self.struct.cancel = self.watch.cancel

    def _what(self, what: What) -> None:
        self.struct.labels = NULL
        self.struct.label_count = 0
        if isinstance(what, str):
            self.set("class_name", what)
            if "," in what:  # as many pictures as classes, where n says nothing
                self.struct.count = len(self._engine.labels(what))
            return
        if isinstance(what, int) and 0 <= what < self._engine.info.classes:
            return self._labels(self.keep(ffi.new("int32_t[]", [what])))
        if isinstance(what, (list, tuple)) and what and all(isinstance(name, str) for name in what):
            what = [label for name in what for label in self._engine.labels(name)]
        labels = np.atleast_1d(np.asarray(what))
        if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
            raise TypeError("a class is a name, a number, or a sequence of numbers")
        if labels.min() < 0 or labels.max() >= self._engine.info.classes:
            raise ValueError(f"a class's number is 0 to {self._engine.info.classes - 1}; \"uncond\" is none of them")
        self._labels(self.keep(ffi.new("int32_t[]", labels.tolist())))

    def _labels(self, array: Any) -> None:
        self.struct.labels = array
        self.struct.label_count = len(array)
        self.struct.count = len(array)

    def _like(self, engine: Engine, like: str | os.PathLike[str]) -> None:
        out = ffi.new("variant_settings **")
        call(lib.variant_settings_read, out, path(like, "like"))
        self.keep(ffi.gc(out, lib.variant_settings_free))
        call(lib.variant_settings_request, out[0], engine._pointer, self.struct)

    def _other_layers(self, left: dict[str, Any], planned: bool) -> None:
        """Another depth than the picture's is another depth of both branches, unless one is named."""
        conditional = planned or bool(left.keys() & {"depth", "bridge", "depths", "layers"})
        if conditional:
            self.struct.layers = self.struct.depths = NULL
        if conditional or left.keys() & {"uncond_depth", "uncond_depths", "uncond_layers"}:
            self.struct.uncond_layers = self.struct.uncond_depths = NULL
            self.struct.uncond_depth = -1

    def _options(self, left: dict[str, Any]) -> None:
        self._counted = "n" in left
        if left.get("seed") == -1:
            left["seed"] = secrets.randbits(63)
        if "n" in left:
            self.set("count", left.pop("n"), "n")
        for name in ("depths", "uncond_depths"):
            value = left.pop(name, None)
            if value is not None:
                self.set(name, value if isinstance(value, str) else ",".join(map(str, listed(value, name))))
        for name in PLAIN:
            if name in left:
                self.set(name, left.pop(name))
        if "cfg_scales" in left:
            values = self.keep(array_of("float[]", listed(left.pop("cfg_scales"), "cfg_scales", float), "cfg_scales"))
            self.struct.cfg_scales = values
            self.struct.cfg_scale_count = len(values)
        if "given_tokens" in left:
            self._given(left.pop("given_tokens"))
        if "edit" in left:
            edit = left.pop("edit")
            edits = [edit] if isinstance(edit, Edit) else list(edit) if isinstance(edit, Sequence) else [edit]
            self._edits([having(each, "picture", "edit: an Edit, or a sequence of them,") for each in edits])
        if left:
            raise TypeError("; ".join(str(unknown(name, Options.__annotations__, OTHERS)) for name in sorted(left)))

    def _given(self, tokens: Any) -> None:
        array = np.ascontiguousarray(tokens)
        if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
            raise TypeError(f"given_tokens: (N, L) integers are wanted, not {array.dtype} of {array.shape}")
        array = np.atleast_2d(array)
        if array.size and (array.min() < -(2**31) or array.max() > 2**31 - 1):
            raise ValueError(f"given_tokens: numbers of 32 bits are wanted, not {array.min()} to {array.max()}")
        array = array.astype(np.int32)
        length = sum(side * side for side in self._engine.info.sides)
        if array.shape[1] != length:
            raise ValueError(f"given_tokens: {length} tokens a picture are wanted, not {array.shape[1]}")
        if not self.struct.given_scales:
            self.struct.given_scales = self._engine.info.scales
        self.keep(array)
        self.struct.given_tokens = self.keep(ffi.from_buffer("int32_t[]", array))
        self.struct.given_count = array.shape[0]
        if not self._counted:
            self.struct.count = array.shape[0]

    def _edits(self, edits: list[Edit]) -> None:
        array = self.keep(ffi.new("variant_edit[]", len(edits)))
        for i, edit in enumerate(edits):
            lib.variant_edit_init_sized(ffi.addressof(array[i]), ffi.sizeof("variant_edit"))
            self._edit(array[i], edit)
        self.struct.edits = array
        self.struct.edit_count = len(edits)

    def _edit(self, out: Any, edit: Edit) -> None:
        picture = pixels(edit.picture, "edit")
        out.height, out.width, out.channels = picture.shape
        out.pixels = self.keep(ffi.from_buffer("uint8_t[]", picture))
        if edit.mask is not None:
            out.mask = self.keep(ffi.from_buffer("uint8_t[]", _mask(edit.mask, out.height, out.width)))
        for name in "grow feather left top right bottom pad keep pull".split():
            try:
                setattr(out, name, getattr(edit, name))
            except (TypeError, OverflowError) as error:
                raise wrong(error, f"edit: {name}") from None
        for name in "fit fill codes".split():
            value = getattr(edit, name)
            if value is not None:
                setattr(out, name, self.keep(chars(value, f"edit: {name}")))

    def on_progress(self, function: Callable[[Progress], bool | None]) -> None:
        """`function` after each scale; False ends the call with Stopped."""
        self.watch.progress = lambda at: function(Progress(at.pictures_done, at.pictures, at.scale, at.scales))

    def on_preview(self, function: Callable[[Preview], object]) -> None:
        """`function` gets each picture after each scale."""
        from .pictures import Preview

        self.struct.preview = lib.vp_preview
        self.watch.preview = lambda at: function(Preview._of(at))
