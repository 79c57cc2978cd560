"""A loaded model: everything that draws begins here."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union


from . import _library, _progress
from ._closing import Closes, Stays
from ._errors import ModelError
from ._library import NULL, Kept, Watch, call, chars, interruptible, listed, made, path, text
from ._tensors import OF_TOKENIZER, PREVIEW, configuration, state_dict, table, with_preview
from ._variant import ffi, lib
from .pictures import Pictures, Preview
from .plan import Plan
from .request import Options, Progress, Request, What

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .loop import Loop, Previews

ShowProgress = Union[bool, Callable[[Progress], "bool | None"]]
"""True: a bar on standard error (tqdm's where there is one); a function: called after each scale, False from it stops."""


@dataclass(frozen=True)
class Info:
    """What a model is (variant_info of variant.h)."""

    depth: int
    width: int
    heads: int
    codes: int
    latent_dim: int
    classes: int
    sides: tuple[int, ...]
    """of the token maps, a scale each"""
    picture_side: int
    channels: int
    supernet: bool
    depths: tuple[int, ...]
    """that it was trained at"""
    bridge: int
    layers: str
    uncond_depth: int
    cfg_late: float
    hash: str
    preview_decoder: bool
    kernels: str
    weights: str
    kv: str
    weight_bytes: int
    mapped_bytes: int

    @property
    def scales(self) -> int:
        return len(self.sides)

    @classmethod
    def _of(cls, info: Any) -> Info:
        texts: dict[str, Any] = {n: text(getattr(info, n)) or "" for n in ("layers", "hash", "kernels", "weights", "kv")}
        lists: dict[str, Any] = {"sides": tuple(info.sides[0 : info.scales]), "depths": tuple(info.depths[0 : info.depth_count])}
        plain: dict[str, Any] = {n: getattr(info, n) for n in cls.__dataclass_fields__ if n not in texts and n not in lists}
        return cls(**plain, **texts, **lists)


@dataclass(frozen=True)
class Memory:
    """Bytes that a request takes, exactly and without computing it."""

    weights: int
    mapped: int
    arena: int
    kv: int
    edits: int
    pictures: int

    @property
    def total(self) -> int:
        """All of it; the program, NumPy and OpenBLAS come on top."""
        return self.weights + self.mapped + self.arena + self.kv + self.edits + self.pictures


class Cancel(Stays):
    """Ends calls before their next scale, from any thread: Engine.generate(..., cancel=cancel), cancel.set()."""

    def __init__(self) -> None:
        self._flag = ffi.new("int *")

    def set(self) -> None:
        self._flag[0] = 1

    def is_set(self) -> bool:
        return bool(self._flag[0])


class Engine(Closes):
    """A model, ready to draw. Threads may share it; each call computes without the interpreter's lock.

    model: a file (safetensors or PyTorch checkpoint) or folder. tokenizer: its file where it is not in model. threads 0: one a
    processor. weights: "f32", "bf16", "int8", "int4" (None: f32, or a packed file's own); kv likewise. encoder: also what edits need. verify=False: a tensor that
    its checksum in the file says is damaged, which else is a FormatError, is taken as it is. warn: gets one line on what was chosen or passed over (default: warnings.warn). Errors: FileError, FormatError, ModelError, OutOfMemory, ArgumentError.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        sides: Sequence[int] | str | None = None,
        heads: int = 0,
        part: str | None = None,
        backend: str | None = None,
        threads: int = 0,
        weights: str | None = None,
        kv: str | None = None,
        encoder: bool = False,
        verify: bool = True,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        given = {"sides": _listed(sides), "part": part, "backend": backend, "weights": weights, "kv": kv}
        options = _options(given, heads, threads, encoder, verify)
        options.set("model", path(model, "model"))
        if tokenizer is not None:
            options.set("tokenizer", path(tokenizer, "tokenizer"))
        self._open(options, warn)

    @classmethod
    def from_torch(
        cls,
        var: Any,
        vae: Any = None,
        *,
        preview: Any = None,
        sides: Sequence[int] | str | None = None,
        heads: int = 0,
        backend: str | None = None,
        threads: int = 0,
        weights: str | None = None,
        kv: str | None = None,
        encoder: bool = False,
        class_names: Sequence[str] | None = None,
        depths: Sequence[int] | None = None,
        bridge: int | None = None,
        layers: str = "equidistant",
        uncond_depth: int = 0,
        cfg_late: float | str | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> Self:
        """A model that lies in memory: modules of the original implementation or their state dicts (names to tensors of PyTorch,
        of anything that speaks DLPack, or NumPy arrays; f32, f16 or bf16). vae: the tokenizer's, or its file, where var does not hold it.
        preview: a state dict with a preview decoder, such as that of the file which train_decoder wrote, where vae holds none; of its
        tensors no others are read.

        Weights in f32 are used where they lie: the tensors are kept, and must not change, until the engine is closed. A state dict has no
        configuration. sides of the scales and heads are needed where neither names nor shapes nor the buffer lvl_1L tell them.
        class_names: one a class. depths: of a supernet, those (1 to 16) that it was trained at, with bridge, the scales at full depth before
        them; layers, the selector; uncond_depth and cfg_late ("12:2.2,6:3": a factor for each depth), what its guidance takes by itself.
        """
        config = configuration(class_names, depths, bridge, layers, uncond_depth, cfg_late)
        given = {"sides": _listed(sides), "backend": backend, "weights": weights, "kv": kv, "model_config": config}
        options = _options(given, heads, threads, encoder)
        _tables(options, var, vae, preview)
        engine = cls.__new__(cls)
        engine._open(options, warn)
        try:
            if class_names is not None and len(class_names) != engine.info.classes:
                raise ValueError(f"class_names: {engine.info.classes} are wanted, not {len(class_names)}")
            if bridge is not None and not 0 <= bridge <= engine.info.scales:
                raise ValueError(f"bridge: 0 to {engine.info.scales} scales are wanted, not {bridge}")
            if preview is not None and not engine.info.preview_decoder:
                raise ValueError(f"preview: its {PREVIEW}conv_in.weight, or the tokenizer that it belongs to, is missing")
        except ValueError:
            engine.close()
            raise
        return engine

    def _open(self, options: Kept, warn: Callable[[str], None] | None) -> None:
        watch = Watch()
        watch.warn = warn or _library.warn
        options.struct.warn = lib.vp_warn
        options.struct.user = watch.handle
        out = ffi.new("variant_engine **")
        self._lock = threading.RLock()  # the garbage collector may close a loop in the thread that holds it
        self._users = 0
        self._closed = False
        call(lib.variant_engine_open, out, options.struct, watch=watch)
        self._memory: Any = ffi.gc(out, lib.variant_engine_close)
        self._pointer = out[0]
        self._options: Kept | None = options  # what it points to is borrowed
        self.info = Info._of(lib.variant_engine_info(self._pointer))
        names = (text(lib.variant_engine_class_name(self._pointer, i)) for i in range(self.info.classes))
        self.classes: tuple[str | None, ...] = tuple(names)
        """names, None where none is known"""

    @contextmanager
    def _use(self) -> Iterator[Any]:
        """The C engine for a call: it stays open until the last one has ended."""
        with self._lock:
            if self._closed:
                raise ValueError("the engine is closed")
            self._users += 1
        try:
            yield self._pointer
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            self._release()

    def _release(self) -> None:
        if self._closed and self._users == 0 and self._memory is not None:
            self._memory = None
            self._pointer = NULL
            self._options = None

    def close(self) -> None:
        """No call begins any more; memory goes when the last one that runs has ended. Again: nothing happens."""
        with self._lock:
            self._closed = True
            self._release()

    def __repr__(self) -> str:
        i = self.info
        state = "closed" if self._closed else i.weights
        return f"<variant.Engine {i.depth} layers of {i.width}, {i.classes} classes, {i.picture_side}x{i.picture_side}x{i.channels}, {state}>"

    def labels(self, what: str) -> list[int]:
        """The labels that a class's name, or several between commas, means. ArgumentError names near ones."""
        name = chars(what, "a class's name")
        with self._use() as engine:
            count = ffi.new("int *")
            call(lib.variant_engine_labels, engine, name, NULL, 0, count)
            out = ffi.new("int32_t[]", max(1, count[0]))
            call(lib.variant_engine_labels, engine, name, out, count[0], count)
            return [int(v) for v in out[0 : count[0]]]

    def generate(
        self,
        what: What | None = None,
        *,
        progress: ShowProgress = False,
        preview: Callable[[Preview], object] | None = None,
        **options: Unpack[Options],
    ) -> Pictures:
        """Draws pictures: of a class (What), or "random". Options: variant.Options.

        preview gets each picture after each scale (for the decoder's time each). Ctrl-C ends the call within a scale, as does an exception of
        progress or preview, which this raises. Errors: ArgumentError, ModelError, OutOfMemory, Stopped.
        """
        with self._use() as engine, _progress.shown(progress) as show:
            request = Request(self, what, options)
            if show is not None:
                request.on_progress(show)
            if preview is not None:
                request.on_preview(preview)
            out, report = ffi.new("variant_picture **"), made("variant_report")
            call(lib.variant_generate, engine, request.struct, out, report, watch=request.watch)
            return Pictures._told(out, request.struct.count, report)

    def previews(self, what: What | None = None, **options: Unpack[Options]) -> Previews:
        """An iterator over the pictures as they grow, scale by scale; finished ones are in its `pictures` afterwards."""
        from .loop import Previews

        return Previews(self, what, options)

    def loop(self) -> Loop:
        """Requests of any depths, added at any time, that share each step's weights."""
        from .loop import Loop

        return Loop(self)

    def memory(self, what: What | None = None, **options: Unpack[Options]) -> Memory:
        """What a request takes, to the byte and without computing it."""
        with self._use() as engine:
            memory = made("variant_memory")
            request = Request(self, what, options)
            call(lib.variant_request_memory, engine, request.struct, memory)
            return Memory(**{n: getattr(memory, n) for n in Memory.__dataclass_fields__})

    def plan(
        self,
        what: What | None = None,
        *,
        max_memory: int = 0,
        max_seconds: float = 0.0,
        quality: str | None = None,
        sweep: str | os.PathLike[str] | None = None,
        auto_batch: bool = False,
        memory_only: bool = False,
        **options: Unpack[Options],
    ) -> Plan:
        """The best schedule within limits: of all memory (bytes) and of a batch's time (seconds); 0: no limit. A plan without a
        sweep measures the model here for some seconds, once; Ctrl-C and cancel= end that. generate(..., plan=plan) runs it. Plan.fits is
        False where nothing keeps the limits."""
        with self._use() as engine:
            chosen = Kept("variant_plan_options")
            chosen.set("max_bytes", max_memory, "max_memory")
            chosen.set("max_seconds", max_seconds)
            chosen.set("auto_batch", auto_batch)
            chosen.set("memory_only", memory_only)
            if quality is not None:
                chosen.set("quality", quality)
            if sweep is not None:
                chosen.set("sweep", path(sweep, "sweep"))
            request = Request(self, what, options)
            plan = made("variant_plan")
            interruptible(lib.variant_plan_make, engine, request.struct, chosen.struct, plan, watch=request.watch)
            return Plan._of(plan)

    def trim(self) -> None:
        """Memory that ended requests left to the next ones goes back to the system."""
        with self._use() as engine:
            lib.variant_engine_trim(engine)


def _listed(sides: Sequence[int] | str | None) -> str | None:
    return sides if sides is None or isinstance(sides, str) else ",".join(map(str, listed(sides, "sides")))


def _tables(options: Kept, var: Any, vae: Any, preview: Any) -> None:
    """What from_torch is given; errors name its arguments."""
    if isinstance(vae, (str, bytes, os.PathLike)):
        if preview is not None:
            raise ValueError("preview: vae is a file, whose own preview decoder is taken; give its state dict instead")
        place: Any = vae
        options.set("tokenizer", path(place, "vae"))
    elif vae is not None:
        table(options, "tokenizer", vae if preview is None else with_preview(vae, "vae", preview), "vae")
    else:
        if not any(str(name).endswith(OF_TOKENIZER) for name in state_dict(var, "var")):
            raise ModelError(f"vae: var holds no tokenizer (no tensor {OF_TOKENIZER}): give its state dict, or its file")
        if preview is not None:
            var = with_preview(var, "var", preview)
    table(options, "model", var, "var")


def _options(given: dict[str, str | None], heads: int, threads: int, encoder: bool, verify: bool = True) -> Kept:
    options = Kept("variant_engine_options")
    options.set("verify", verify)
    for name, value in given.items():
        if value is not None:
            options.set(name, value)
    options.set("heads", heads)
    options.set("threads", threads)
    options.set("encoder", encoder)
    return options
