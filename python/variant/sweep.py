"""Many depths of one model, each with what it costs and what it is worth (docs/SWEEP.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._library import Kept, Watch, array_of, chars, having, interruptible, listed, path, text
from ._variant import ffi, lib
from .data import Pictures, taken
from .request import Request

if TYPE_CHECKING:
    from .engine import Cancel, Engine


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep is."""

    round: int
    rounds: int
    point: int
    points: int
    share: float
    """of all work, 0 to 1; what the folder held already counts as done"""
    id: str
    """of the point at work"""


# lists of the options: the member that counts each, and what it is made of
LISTS = {
    "depths": ("depth_count", "int"),
    "bridges": ("bridge_count", "int"),
    "selectors": ("selector_count", "char *"),
    "cfg_scales": ("cfg_count", "double"),
    "uncond_depths": ("uncond_count", "int"),
    "cfg_lates": ("late_count", "double"),
    "seeds": ("seed_count", "uint64_t"),
}


def sweep(
    engine: Engine,
    folder: str | os.PathLike[str],
    *,
    what: Any = "all",
    depths: Sequence[int] = (),
    bridges: Sequence[int] = (),
    selectors: Sequence[str] = (),
    cfg_scales: Sequence[float] = (),
    uncond_depths: Sequence[int] = (),
    cfg_lates: Sequence[float] = (),
    seeds: Sequence[int] = (),
    zones: Sequence[tuple[int, int]] = (),
    zone_depth: int = 0,
    repeat: int = 5,
    pictures: int = 8,
    reference: Pictures | None = None,
    features: str | os.PathLike[str] | None = None,
    samples: int = 2000,
    draws: int = -1,
    resize: str | None = None,
    name: str | None = None,
    threads: int = 0,
    progress: Callable[[SweepProgress], bool | None] | None = None,
    note: Callable[[str], object] | None = None,
    cancel: Cancel | None = None,
    **request: Any,
) -> dict[str, Any]:
    """Measures all combinations of the lists (an empty one: what the model suggests) into a folder: sweep.json, sweep.csv, report.html. Gives
    what sweep.json holds. A folder that holds part of the same sweep is gone on with; Engine.plan(sweep=folder) takes it.

    reference: real pictures or statistics, which samples are judged beside, in the network of `features`; None: times and memory
    alone. zones: first and last scale, from 1, that run zone_depth layers alone. progress (False from it: Stopped) and note are called
    by another thread. Ctrl-C ends it after the picture at work; what was finished is kept. request: other options of a request.
    """
    if not hasattr(engine, "_use"):
        raise TypeError(f"engine: a variant.Engine is wanted, not {type(engine).__name__}")
    options, watch = Kept("variant_sweep_options"), Watch()
    options.set("folder", path(folder, "folder"))
    lists: dict[str, Sequence[Any]] = {
        "depths": depths, "bridges": bridges, "selectors": selectors, "cfg_scales": cfg_scales,
        "uncond_depths": uncond_depths, "cfg_lates": cfg_lates, "seeds": seeds,
    }  # fmt: skip
    for field, values in lists.items():
        _list(options, field, values)
    if zones:
        ends = [listed(zone, "zones") for zone in zones]
        if any(len(zone) != 2 for zone in ends):
            raise ValueError(f"zones: pairs of a first and a last scale are wanted, not {zones}")
        options.struct.zones = options.keep(array_of("int[]", [end for zone in ends for end in zone], "zones"))
        options.struct.zone_count = len(zones)
    numbers: dict[str, Any] = {"zone_depth": zone_depth, "repeat": repeat, "pictures": pictures, "samples": samples, "draws": draws, "threads": threads}
    for field, value in {**numbers, "resize": resize, "name": name, "features": features}.items():
        if value is not None:
            options.set(field, value)
    if reference is not None:
        options.struct.reference = options.keep(taken(reference)).struct
    with engine._use() as pointer:
        asked = Request(engine, what, request)  # type: ignore[arg-type]
        _listen(options, watch, asked, progress, note, cancel)
        interruptible(lib.variant_sweep, pointer, asked.struct, options.struct, watch=watch)
    found: dict[str, Any] = json.loads(Path(folder, "sweep.json").read_text())
    return found


def _list(options: Kept, field: str, values: Sequence[Any]) -> None:
    counter, kind = LISTS[field]
    given = listed(values, field, None)
    if not given:
        return
    if kind == "char *":
        given = [options.keep(chars(v, field)) for v in given]
    setattr(options.struct, field, options.keep(array_of(kind + "[]", given, field)))
    setattr(options.struct, counter, len(given))


def _listen(
    options: Kept,
    watch: Watch,
    asked: Request,
    progress: Callable[[SweepProgress], bool | None] | None,
    note: Callable[[str], object] | None,
    cancel: Cancel | None,
) -> None:
    if cancel is not None:
        watch.cancel = having(cancel, "_flag", "cancel: a Cancel")._flag
    if progress is not None:
        each = progress
        numbers = [n for n in SweepProgress.__dataclass_fields__ if n != "id"]
        watch.progress = lambda at: each(SweepProgress(id=text(at.id) or "", **{n: getattr(at, n) for n in numbers}))
    watch.warn = note
    struct = options.struct
    struct.user, struct.cancel, struct.progress = watch.handle, watch.cancel, lib.vp_sweep_progress
    if note is not None:
        struct.note = lib.vp_warn
    asked.struct.cancel = watch.cancel
