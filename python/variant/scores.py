"""Scores of pictures: what `variant eval` tells (docs/EVALUATION.md says what each means)."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ._errors import Stopped
from ._library import Kept, Watch, call, check, made, path, text
from ._model import told
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
    """pictures"""
    reference_count: int
    """real ones; 0: not known, or none"""
    frechet: float | None
    frechet_spread: float | None
    spatial_frechet: float | None
    inception_score: float | None
    precision: float | None
    recall: float | None
    class_share: float | None
    """that the network puts into the class they are of, 0 to 1"""
    kid: float | None
    """kernel distance, called KID in the Inception"""
    kid_spread: float | None
    warnings: tuple[str, ...]

    @classmethod
    def _of(cls, scores: Any) -> Scores:
        lines = tuple(text(scores.warnings[i]) or "" for i in range(scores.warning_count))
        return told(cls, scores, warnings=lines)


@dataclass(frozen=True)
class SeedScores:
    """A request's scores at several seeds."""

    seeds: tuple[int, ...]
    """in the order asked"""
    scores: tuple[Scores, ...]
    """of each"""
    mean: Scores
    """its spreads are of the mean: the larger of what the seeds' own say and of what the seeds show"""
    least: Scores
    most: Scores
    deviation: Scores
    """standard, of a seed; None of a single one"""
    json: dict[str, Any]
    """as `variant eval --seeds --json` has them: "scores" (the mean), "range", "deviation", "seeds" """


Counted = Callable[[str, int, int], "bool | None"]
"""Gets what is being done ("reference", "pictures", "spread"), so many of so many; False from it: Stopped."""


def evaluate(
    pictures: Pictures | Engine,
    reference: Pictures | None = None,
    *,
    features: str | os.PathLike[str],
    resize: str | None = None,
    count: int = 0,
    draws: int = -1,
    threads: int = 0,
    verify: bool = True,
    progress: Counted | None = None,
    **request: Any,
) -> Scores:
    """Judges pictures (paths or an array: variant.Data), or those that an engine makes of a request (n=, depth= and so on), beside real ones.

    features: the network, FID's Inception or a classifier's file or folder. reference: paths, an array, or a file of statistics. count: so
    many of the pictures, spread evenly; 0: all. draws: of the bootstrap that spreads come from; 0: none. verify=False: a network that
    its checksums say is damaged, which else is a FormatError, is taken as it is. Ctrl-C ends it.
    """
    judge = _Judge(features, resize, threads, verify, progress)
    try:
        options = Kept("variant_eval_options")
        options.set("draws", draws)
        if isinstance(pictures, Engine):
            with judge.of(pictures, reference, options, request):
                return judge.scores(options)
        if request:
            raise TypeError(f"no option {', '.join(request)}: options of a request are for an engine's pictures")
        data = taken(pictures)
        judge.reference(reference, 0, 0)
        options.struct.pictures = data.struct
        options.set("count", count)
        return judge.scores(options)
    finally:
        judge.close()


def evaluate_seeds(
    engine: Engine,
    seeds: Sequence[int],
    reference: Pictures | None = None,
    *,
    features: str | os.PathLike[str],
    resize: str | None = None,
    draws: int = -1,
    threads: int = 0,
    verify: bool = True,
    progress: Counted | None = None,
    finished: Callable[[int, Scores], object] | None = None,
    **request: Any,
) -> SeedScores:
    """evaluate() of an engine's pictures at each of 1 to 256 different seeds: how far a score moves with the seed.

    finished gets a seed and its scores as soon as they are there: those that Ctrl-C, which ends it within a scale, or an error leave. The
    other arguments are evaluate's; the request has no seed of its own.

    >>> import variant
    >>> with variant.Engine("models/fashion") as engine:
    ...     found = variant.evaluate_seeds(engine, [1, 2, 3], features="models/fashion", draws=0, n=20, depth=2)
    >>> found.seeds, found.mean.count, found.least.class_share <= found.mean.class_share <= found.most.class_share
    ((1, 2, 3), 20, True)
    """
    if "seed" in request:
        raise TypeError("no option seed: the seeds are an argument of their own")
    judge = _Judge(features, resize, threads, verify, progress)
    try:
        options = Kept("variant_eval_options")
        options.set("draws", draws)
        with judge.of(engine, reference, options, request):
            return judge.at_seeds(options, seeds, finished)
    finally:
        judge.close()


class _Judge:
    def __init__(self, features: str | os.PathLike[str], resize: str | None, threads: int, verify: bool, progress: Counted | None) -> None:
        self._watch = Watch()
        self._watch.count = progress
        options = Kept("variant_judge_options")
        options.set("features", path(features, "features"))
        options.set("threads", threads)
        options.set("verify", verify)
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

    @contextmanager
    def of(self, engine: Engine, reference: Pictures | None, options: Kept, request: dict[str, Any]) -> Iterator[None]:
        """The engine's pictures of a request are what is judged, for as long as this is."""
        with engine._use() as pointer:
            self.reference(reference, engine.info.picture_side, engine.info.channels)
            asked = Request(engine, request.pop("what", "all"), request)  # type: ignore[arg-type]
            options.struct.engine, options.struct.request = pointer, options.keep(asked).struct
            try:
                yield
            except Stopped:
                check(lib.VARIANT_OK, None, asked.watch)  # an interrupt while pictures are made reaches the request's own callbacks
                raise

    def scores(self, options: Kept) -> Scores:
        out = made("variant_scores")
        call(lib.variant_evaluate, self._memory[0], options.struct, out, watch=self._watch)
        return Scores._of(out)

    def at_seeds(self, options: Kept, seeds: Sequence[int], finished: Callable[[int, Scores], object] | None) -> SeedScores:
        try:
            numbers = ffi.new("uint64_t[]", [operator.index(seed) for seed in seeds])
        except (TypeError, OverflowError) as error:
            raise type(error)(f"seeds: {error}") from None
        if finished is not None:
            one = finished
            self._watch.finished = lambda seed, scores: one(seed, Scores._of(scores))
            options.struct.finished, options.struct.user = lib.vp_finished, self._watch.handle
        out = ffi.new("variant_seed_scores **")
        try:
            call(lib.variant_evaluate_seeds, self._memory[0], options.struct, numbers, len(numbers), out, watch=self._watch)
            return self._told(out[0])
        finally:
            lib.variant_seed_scores_free(out)

    def _told(self, of: Any) -> SeedScores:
        printed = lib.variant_seed_scores_json(self._memory[0], of)
        if printed == ffi.NULL:
            raise MemoryError("no memory for scores")
        try:
            plain: dict[str, Any] = json.loads(text(printed) or "{}")
        finally:
            lib.free(printed)
        summed = {name: Scores._of(getattr(of, name)) for name in ("mean", "least", "most", "deviation")}
        each = tuple(Scores._of(of.scores[i]) for i in range(of.count))
        return SeedScores(seeds=tuple(of.seeds[0 : of.count]), scores=each, json=plain, **summed)

    def close(self) -> None:
        lib.variant_judge_close(self._memory)
