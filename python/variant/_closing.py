"""What is closed at the end of a `with`, and what stands on an engine until it is closed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._library import call
from ._variant import ffi

if TYPE_CHECKING:
    from typing_extensions import Self

    from .engine import Engine


class Closes:
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
