"""What is closed at the end of a `with`, and what stands on an engine until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ._library import call
from ._variant import ffi

if TYPE_CHECKING:
    from typing_extensions import Self

    from .engine import Engine


class Stays:
    """Is a part of the library's memory in this process: a copy would be closed, or taken, twice."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} objects stay in their process: they are neither pickled nor copied")


class Closes(Stays):
    """Has a close() that a `with` calls."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Holds(Closes):
    """Has an object of the library in `_memory`, None once it is closed: by close(), by a `with`, or when nobody holds it any more."""

    _memory: Any = None
    _of_engine: AbstractContextManager[Any] | None = None

    def _open(self, kind: str, function: Callable[..., int], engine: Engine | None, *arguments: object) -> None:
        """function(out, [the engine's,] arguments, error); the engine stays open as long as this does."""
        out = ffi.new(kind)
        if engine is None:
            call(function, out, *arguments)
        else:
            used = engine._use()
            pointer = used.__enter__()
            try:
                call(function, out, pointer, *arguments)
            except BaseException:
                used.__exit__(None, None, None)
                raise
            self._of_engine = used
        self._memory = out

    def _release(self, close: Callable[[Any], object]) -> None:
        close(self._memory)
        self._memory = None
        if self._of_engine is not None:
            self._of_engine.__exit__(None, None, None)

    def __del__(self) -> None:
        if self._memory is not None:
            self.close()


class Turn:
    """Of an object that one thread at a time may use: who comes meanwhile is told so, who closes it waits for the one at work."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.RLock()
        self._at_work = False

    @contextmanager
    def use(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"another thread uses this {self._what}")
        try:
            if self._at_work:  # a handler of a signal, in the thread that computes
                raise RuntimeError(f"this {self._what} is at work")
            self._at_work = True
            try:
                yield
            finally:
                self._at_work = False
        finally:
            self._lock.release()

    @contextmanager
    def end(self) -> Iterator[None]:
        with self._lock:
            if self._at_work:
                raise RuntimeError(f"this {self._what} is at work")
            yield
