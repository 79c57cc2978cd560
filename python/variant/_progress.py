"""Progress on standard error: tqdm's bar where that is installed, a line that is written over elsewhere."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import ShowProgress
    from .request import Progress


@contextmanager
def shown(progress: ShowProgress) -> Iterator[Callable[[Progress], bool | None] | None]:
    """What to call after each scale, or None; ends the line that it drew."""
    if not progress:
        yield None
    elif callable(progress):
        yield progress
    else:
        bar = _bar()
        try:
            yield bar
        finally:
            bar.close()


@contextmanager
def training(progress: Any) -> Iterator[Any]:
    """Likewise of a training's steps."""
    if not progress or callable(progress):
        yield progress or None
        return
    begun = False

    def draw(at: Any) -> None:
        nonlocal begun
        loss = f", loss {at.loss:.4f}" if at.doing == "training" else ""
        left = f", {at.seconds_left:.0f} s left" if at.seconds_left >= 0 else ""
        sys.stderr.write(f"\r{at.doing} {at.step}/{at.steps}{loss}{left}\x1b[K")
        sys.stderr.flush()
        begun = True

    try:
        yield draw
    finally:
        if begun:
            sys.stderr.write("\n")


def _bar() -> Any:
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return _Line()
    return _Tqdm(tqdm)


def _scale(at: Progress) -> str:
    """Where the batch in the making is; nothing when all are made."""
    return f"scale {at.scale}/{at.scales}" if at.pictures_done < at.pictures else ""


class _Tqdm:
    """Scales of all pictures, as a share of pictures."""

    def __init__(self, tqdm: Any) -> None:
        self._make = tqdm
        self._bar: Any = None

    def __call__(self, at: Progress) -> None:
        if self._bar is None:
            self._bar = self._make(total=at.pictures, unit="picture")
        self._bar.n = at.pictures_done
        self._bar.set_postfix_str(_scale(at))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Line:
    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._drawn = False

    def __call__(self, at: Progress) -> None:
        spent = time.monotonic() - self._begin
        left = f", {spent / at.pictures_done * (at.pictures - at.pictures_done):.0f} s left" if at.pictures_done else ""
        scale = _scale(at)
        sys.stderr.write(f"\r{at.pictures_done}/{at.pictures} pictures{', ' if scale else ''}{scale}{left}\x1b[K")
        sys.stderr.flush()
        self._drawn = True

    def close(self) -> None:
        if self._drawn:
            sys.stderr.write("\n")
