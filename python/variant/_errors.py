"""Exceptions: one class a status of the library, each also the built-in exception that a caller may expect."""

from __future__ import annotations


class Error(Exception):
    """What the library could not do. `status` is its code ("E_MODEL"), the message its one line."""

    status = "E_UNKNOWN"

    def __init__(self, message: str, status: str | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class ArgumentError(Error, ValueError):
    """An argument or option is not valid."""

    status = "E_ARGUMENT"


class OutOfMemory(Error, MemoryError):
    """Memory could not be obtained."""

    status = "E_MEMORY"


class FileError(Error, OSError):
    """A file could not be opened, read or written."""

    status = "E_IO"


class FormatError(Error, ValueError):
    """A file is damaged or not of the format expected."""

    status = "E_FORMAT"


class ModelError(Error, ValueError):
    """A model's tensors or configuration do not fit."""

    status = "E_MODEL"


class Unsupported(Error, RuntimeError):
    """Not supported by this build or machine."""

    status = "E_UNSUPPORTED"


class Stopped(Error, RuntimeError):
    """Stopped by the caller."""

    status = "E_STOPPED"


class Mismatch(Error, ArithmeticError):
    """A result differs from its reference."""

    status = "E_MISMATCH"


class DeviceError(Error, RuntimeError):
    """The device that computes has failed."""

    status = "E_DEVICE"


CLASSES: dict[str, type[Error]] = {
    c.status: c
    for c in (ArgumentError, OutOfMemory, FileError, FormatError, ModelError, Unsupported, Stopped, Mismatch, DeviceError)
}
