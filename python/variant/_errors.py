"""Exceptions: one class a status of the library, each also the built-in exception that a caller may expect."""

from __future__ import annotations

CLASSES: dict[str, type[Error]] = {}
"""by the status's name"""


class Error(Exception):
    """What the library could not do. `status` is its code ("E_MODEL"), the message its one line."""

    status = "E_UNKNOWN"

    def __init__(self, message: str, status: str | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status

    def __init_subclass__(cls, status: str) -> None:
        cls.status = status
        CLASSES[status] = cls


class ArgumentError(Error, ValueError, status="E_ARGUMENT"):
    """An argument or option is not valid."""


class OutOfMemory(Error, MemoryError, status="E_MEMORY"):
    """Memory could not be obtained."""


class FileError(Error, OSError, status="E_IO"):
    """A file could not be opened, read or written."""


class FormatError(Error, ValueError, status="E_FORMAT"):
    """A file is damaged or not of the format expected."""


class ModelError(Error, ValueError, status="E_MODEL"):
    """A model's tensors or configuration do not fit."""


class Unsupported(Error, RuntimeError, status="E_UNSUPPORTED"):
    """Not supported by this build or machine."""


class Stopped(Error, RuntimeError, status="E_STOPPED"):
    """Stopped by the caller."""


class Mismatch(Error, ArithmeticError, status="E_MISMATCH"):
    """A result differs from its reference."""


class DeviceError(Error, RuntimeError, status="E_DEVICE"):
    """The device that computes has failed."""
