"""The compiled library: calls that raise, texts that live as long as they are needed, callbacks that may raise."""

from __future__ import annotations

import difflib
import functools
import numbers
import operator
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from ._errors import CLASSES, Error
from ._variant import ffi, lib

NULL = ffi.NULL


def version() -> str:
    """Version of the library inside."""
    return text(lib.variant_version()) or ""


def text(pointer: Any) -> str | None:
    """A C string as str; None of NULL."""
    return None if pointer == NULL else ffi.string(pointer).decode("utf-8", "replace")


def path(value: str | os.PathLike[str], what: str) -> bytes:
    """A path as the library takes it; TypeError of what is none."""
    try:
        found = os.fsencode(value)
    except TypeError:
        raise TypeError(f"{what}: a path is a str or os.PathLike, not {type(value).__name__}") from None
    if b"\0" in found:
        raise ValueError(f"{what}: a path holds no NUL")
    return found


def wrong(error: Exception, what: str) -> Exception:
    """What Python says of a value (TypeError, ValueError, OverflowError), with the name of the option that had it."""
    kind = next(kind for kind in (OverflowError, TypeError, ValueError) if isinstance(error, kind))
    return kind(f"{what}: {error}")


def chars(value: str, what: str) -> Any:
    """A text as C has it, the caller's to keep; ValueError of one with a NUL in it, which would end it, or that is no UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{what}: a text is wanted, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what}: a text holds no NUL")
    try:
        return ffi.new("char[]", value.encode())
    except UnicodeEncodeError as error:
        raise wrong(error, what) from None


def integer(value: Any, what: str) -> int:
    """A whole number of C's int; the error names the option."""
    return int(array_of("int[]", listed([value], what), what)[0])


def listed(values: Iterable[Any], what: str, number: Callable[[Any], Any] | None = operator.index) -> list[Any]:
    """A list of numbers, each made by `number` (None: of anything, as it is); the error names the option."""
    try:
        return list(values) if number is None else [number(value) for value in values]
    except (TypeError, OverflowError, ValueError) as error:
        raise wrong(error, what) from None


def having(value: Any, attribute: str, wanted: str) -> Any:
    """An object of this package, which has the attribute; TypeError of another, which says what is wanted."""
    if not hasattr(value, attribute):
        raise TypeError(f"{wanted} is wanted, not {type(value).__name__}")
    return value


def array_of(kind: str, values: Iterable[Any], what: str) -> Any:
    """A C array ("int[]") of a list of numbers; the error names the option."""
    try:
        return ffi.new(kind, list(values))
    except (TypeError, OverflowError, ValueError) as error:
        raise wrong(error, what) from None


def warn(line: str) -> None:
    """A UserWarning of the line that called this package, however deep in it this is."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(line, stacklevel=level)


def made(kind: str, *more: Any) -> Any:
    """A new struct of the header with its size and defaults in it."""
    struct = ffi.new(kind + " *")
    getattr(lib, kind + "_init_sized")(struct, ffi.sizeof(kind), *more)
    return struct


@functools.lru_cache(maxsize=None)
def _kinds(struct: Any) -> dict[str, str]:
    """Of a struct's type, what its members are: asked for each option of each call."""
    return {name: field.type.kind for name, field in struct.fields}


class Kept:
    """A struct of options with what it points to: `keep` makes C memory that lives as long as this does."""

    def __init__(self, kind: str, *more: Any) -> None:
        self.struct = made(kind, *more)
        self._kinds = _kinds(ffi.typeof(kind))
        self._alive: list[object] = []

    def keep(self, pointer: Any) -> Any:
        self._alive.append(pointer)
        return pointer

    def set(self, field: str, value: object, name: str | None = None) -> None:
        """Sets a field from a Python value; the error names the option."""
        kind = self._kinds[field]
        if kind == "primitive" and not isinstance(value, (numbers.Real, np.bool_)):
            raise TypeError(f"{name or field}: a number is wanted, not {type(value).__name__}")
        if kind == "pointer" and not isinstance(value, (str, bytes, os.PathLike)):
            raise TypeError(f"{name or field}: a text is wanted, not {type(value).__name__}")
        try:
            if isinstance(value, os.PathLike):
                value = os.fsencode(value)
            if isinstance(value, str):
                value = value.encode()
            if isinstance(value, bytes):
                if b"\0" in value:
                    raise ValueError("a text holds no NUL")
                value = self.keep(ffi.new("char[]", value))
            setattr(self.struct, field, value)
        except (TypeError, OverflowError, ValueError) as error:
            raise wrong(error, name or field) from None


def unknown(name: str, known: Iterable[str], others: Mapping[str, str]) -> TypeError:
    """What is raised of an option that there is not; others: names from elsewhere, and what takes their place."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    if name in others:
        return TypeError(f"no option {name}; here it is {others[name]}")
    return TypeError(f"no option {name}; " + (f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"))


def options_of(structs: list[Kept], left: dict[str, Any], counts: dict[str, str], others: Mapping[str, str]) -> None:
    """Puts options into the struct that has a member of the name: numbers, texts, lists (counts: the member that counts each; others: see unknown)."""
    known: dict[str, Kept] = {}
    for struct in structs:
        for name, field in ffi.typeof(struct.struct[0]).fields:
            if name != "size" and name not in counts.values() and (field.type.kind, field.type.cname) not in OTHER_MEMBERS:
                known.setdefault(name, struct)
    for name, value in left.items():
        if name not in known:
            raise unknown(name, known, others)
        struct = known[name]
        if dict(ffi.typeof(struct.struct[0]).fields)[name].type.kind == "array":
            _list(struct.struct, name, listed(value, name, None), counts[name])
        elif value is not None:
            struct.set(name, value)


# what no option sets: callbacks and data
OTHER_MEMBERS = {("pointer", "void *"), ("pointer", "int *"), ("pointer", "variant_data *")}


def _list(struct: Any, name: str, values: list[Any], counter: str) -> None:
    most = dict(ffi.typeof(struct[0]).fields)[name].type.length
    if len(values) > most:
        raise ValueError(f"{name}: at most {most} are wanted, not {len(values)}")
    array = getattr(struct, name)
    try:
        for i, value in enumerate(values):
            array[i] = value
    except (TypeError, OverflowError) as error:
        raise wrong(error, name) from None
    setattr(struct, counter, len(values))


class Watch:
    """State behind a call's `user`: what its callbacks are to do, and what one of them raised."""

    def __init__(self) -> None:
        self.handle = ffi.new_handle(self)
        self.cancel: Any = ffi.new("int *")
        self.progress: Callable[[Any], bool | None] | None = None
        self.preview: Callable[[Any], object] | None = None
        self.warn: Callable[[str], object] | None = None
        self.note: Callable[[str], object] | None = None
        self.metrics: Callable[[Any], object] | None = None
        self.count: Callable[[str, int, int], bool | None] | None = None
        self.finished: Callable[[int, Any], object] | None = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """The first error is the one that the call raises; what is computed ends before its next scale."""
        if self.error is None:
            self.error = error
        self.cancel[0] = 1


def check(status: int, error: Any, watch: Watch | None = None) -> None:
    """Raises what a call returned; before it what a callback raised while it ran."""
    if watch is not None and watch.error is not None:
        raised, watch.error = watch.error, None
        raise raised
    if status != lib.VARIANT_OK:
        name = text(lib.variant_status_name(status)) or ""
        raise CLASSES.get(name, Error)(text(error.message) or name, name)


def call(function: Callable[..., int], *arguments: object, watch: Watch | None = None) -> None:
    """Calls a function whose last parameter is a variant_error."""
    error = ffi.new("variant_error *")
    check(function(*arguments, error), error, watch)


def interruptible(function: Callable[..., int], *arguments: object, watch: Watch) -> None:
    """call() of what computes for long and calls back seldom: beside the main thread, which Ctrl-C reaches, and which cancels it then."""
    if threading.current_thread() is not threading.main_thread():
        return call(function, *arguments, watch=watch)
    error = ffi.new("variant_error *")
    status, ended = [int(lib.VARIANT_OK)], threading.Event()  # an event: a join that is interrupted takes the thread for ended

    def work() -> None:
        status[0] = function(*arguments, error)
        ended.set()

    threading.Thread(target=work).start()
    while not ended.is_set():  # what it computes on is released behind this call
        try:
            ended.wait(0.1)  # an interrupt that is no signal (of a notebook's or a test's thread) wakes nobody
        except BaseException as raised:
            watch.fail(raised)
    check(status[0], error, watch)


def _raised(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    """An exception out of a callback, KeyboardInterrupt on its first line included."""
    frame = trace.tb_frame if trace is not None else None
    while frame is not None and "user" not in frame.f_locals:
        frame = frame.f_back
    if frame is not None:
        ffi.from_handle(frame.f_locals["user"]).fail(value)


def _progress(user: Any, at: Any) -> bool:
    watch: Watch = ffi.from_handle(user)
    return watch.progress is None or watch.progress(at) is not False


def _preview(user: Any, at: Any) -> None:
    watch: Watch = ffi.from_handle(user)
    if watch.preview is not None:
        watch.preview(at)


def _warn(user: Any, line: Any) -> None:
    watch: Watch = ffi.from_handle(user)
    if watch.warn is not None:
        watch.warn(text(line) or "")


def _note(user: Any, line: Any) -> None:
    watch: Watch = ffi.from_handle(user)
    if watch.note is not None:
        watch.note(text(line) or "")


def _finished(user: Any, seed: int, scores: Any) -> None:
    watch: Watch = ffi.from_handle(user)
    if watch.finished is not None:
        watch.finished(seed, scores)


def _metrics(user: Any, line: Any) -> None:
    watch: Watch = ffi.from_handle(user)
    if watch.metrics is not None:
        watch.metrics(line)


def _doing(user: Any, doing: Any, done: int, total: int) -> bool:
    watch: Watch = ffi.from_handle(user)
    return watch.count is None or watch.count(text(doing) or "", done, total) is not False


def _counted(user: Any, done: int, total: int) -> bool:
    return _doing(user, NULL, done, total)


for _name, _body in {"vp_progress": _progress, "vp_train_progress": _progress, "vp_sweep_progress": _progress, "vp_doing": _doing,
                     "vp_counted": _counted}.items():
    ffi.def_extern(name=_name, error=False, onerror=_raised)(_body)
for _name, _tell in {"vp_preview": _preview, "vp_warn": _warn, "vp_note": _note, "vp_metrics": _metrics, "vp_finished": _finished}.items():
    ffi.def_extern(name=_name, onerror=_raised)(_tell)
