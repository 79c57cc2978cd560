"""Scores of pictures: what `variant eval` tells (docs/EVALUATION.md says what each means)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from ._library import Kept, Watch, call, made, path, text
from ._variant import ffi, lib
from .data import Pictures, taken
from .engine import Engine
from .request import Request


@dataclass(frozen=True)
class Scores:
    """None: not measured. A spread is the standard deviation over other sets of as many pictures of the same model."""

    name: str
    """of the Frechet distance: "FID", "FID(classifier)" """
    count: int
    reference_count: int
    frechet: float | None
    frechet_spread: float | None
    spatial_frechet: float | None
    inception_score: float | None
    precision: float | None
    recall: float | None
    class_share: float | None
    kid: float | None
    kid_spread: float | None
    warnings: tuple[str, ...]


def evaluate(
    pictures: Pictures | Engine,
    reference: Pictures | None = None,
    *,
    features: str | os.PathLike[str],
    resize: str | None = None,
    count: int = 0,
    draws: int = -1,
    threads: int = 0,
    **request: Any,
) -> Scores:
    """Judges pictures (paths or an array: variant.Data), or those that an engine makes of a request (n=, depth= and so on), beside real ones.

    features: the network, FID's Inception or a classifier's file or folder. reference: paths, an array, or a file of statistics. count: so
    many of the pictures, spread evenly; 0: all. draws: of the bootstrap that spreads come from; 0: none. Ctrl-C ends it.
    """
    judge = _Judge(features, resize, threads)
    try:
        options = Kept("variant_eval_options")
        options.set("draws", draws)
        side = channels = 0
        if isinstance(pictures, Engine):
            with pictures._use() as engine:
                side, channels = pictures.info.picture_side, pictures.info.channels
                judge.reference(reference, side, channels)
                asked = Request(pictures, request.pop("what", "all"), request)  # type: ignore[arg-type]
                options.struct.engine, options.struct.request = engine, asked.struct
                return judge.scores(options)
        if request:
            raise TypeError(f"no option {', '.join(request)}: options of a request are for an engine's pictures")
        data = taken(pictures)
        judge.reference(reference, side, channels)
        options.struct.pictures = data.struct
        options.set("count", count)
        return judge.scores(options)
    finally:
        judge.close()


class _Judge:
    def __init__(self, features: str | os.PathLike[str], resize: str | None, threads: int) -> None:
        self._watch = Watch()
        options = Kept("variant_judge_options")
        options.set("features", path(features, "features"))
        options.set("threads", threads)
        if resize is not None:
            options.set("resize", resize)
        options.struct.progress, options.struct.user = lib.vp_doing, self._watch.handle
        options.struct.cancel = self._watch.cancel
        self._memory = ffi.new("variant_judge **")
        call(lib.variant_judge_open, self._memory, options.struct, watch=self._watch)

    def reference(self, reference: Pictures | None, side: int, channels: int) -> None:
        if reference is not None:
            data = taken(reference)
            call(lib.variant_judge_reference, self._memory[0], data.struct, 0, side, channels, watch=self._watch)

    def scores(self, options: Kept) -> Scores:
        out = made("variant_scores")
        call(lib.variant_evaluate, self._memory[0], options.struct, out, watch=self._watch)
        numbers = {n: getattr(out, n) for n in Scores.__dataclass_fields__ if n not in ("name", "warnings")}
        plain: dict[str, Any] = {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in numbers.items()}
        lines = tuple(text(out.warnings[i]) or "" for i in range(out.warning_count))
        return Scores(name=text(out.name) or "", warnings=lines, **plain)

    def close(self) -> None:
        lib.variant_judge_close(self._memory)
