"""What this process may use of the machine: what `variant doctor` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._library import NULL, call, made, text
from ._variant import ffi, lib

LINE = 512  # bytes of a backend's description


@dataclass(frozen=True)
class Machine:
    """Limits of this process and the kernels that it gets (variant_machine of variant.h), and what each backend computes with."""

    processor: str
    kernels: str
    """the loops' instruction set: "avx2" """
    offered: str
    """the processor's best one"""
    refused: str
    """why one that the processor has is not had, or "" """
    processors: int
    affinity: int
    """processors on which this process may run"""
    quota: float
    """processors' worth of time that control groups grant; 0: no limit"""
    threads: int
    """what an engine takes by itself"""
    memory_limit: int
    """bytes, of the tightest control group; 0: none"""
    memory_left: int
    memory_free: int
    address_space_left: int | None
    """None: no limit"""
    blas: str
    blas_serial: bool
    """it has neither threads nor locks: products in float32 take turns"""
    line: str
    """the limits in a line"""
    blas_core_wanted: str | None
    """what OPENBLAS_CORETYPE should be before the process starts; None: OpenBLAS chose well"""
    backends: dict[str, str]
    """what each computes with"""


def machine() -> Machine:
    """Read anew at each call.

    >>> import variant
    >>> variant.machine().threads >= 1
    True
    """
    told = made("variant_machine")
    call(lib.variant_machine_read, told)
    names = [n for n in Machine.__dataclass_fields__ if n not in ("blas_core_wanted", "backends")]
    fields: dict[str, Any] = {n: getattr(told, n) for n in names}
    fields = {n: ffi.string(v).decode("utf-8", "replace") if isinstance(v, ffi.CData) else v for n, v in fields.items()}
    if fields["address_space_left"] == 2 ** (8 * ffi.sizeof("size_t")) - 1:
        fields["address_space_left"] = None
    return Machine(blas_core_wanted=text(lib.variant_blas_core_wanted()), backends=_backends(), **fields)


def _backends() -> dict[str, str]:
    found: dict[str, str] = {}
    while (name := lib.variant_backend_name(len(found))) != NULL:
        line = ffi.new("char[]", LINE)
        call(lib.variant_backend_describe, name, line, LINE)
        found[text(name) or ""] = text(line) or ""
    return found
