"""A schedule that keeps a budget (docs/PLANNING.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._library import text


@dataclass(frozen=True)
class Plan:
    """What Engine.plan chose: hand it to a call as plan=."""

    fits: bool
    """False: this is the schedule that misses the limits least"""
    depth: int
    bridge: int
    layers: str
    uncond_depth: int
    cfg_late: float
    uncond_depths: str
    batch: int
    bytes: int
    """exact"""
    seconds: float
    """of a batch, predicted from measured layers; 0 with memory_only"""
    kept: float
    """mean over scales of the share of layers run"""
    considered: int
    distance: float | None
    """Frechet distance where a sweep told it"""
    score: str
    why: str
    warning: str
    _struct: Any = field(repr=False, compare=False)

    @classmethod
    def _of(cls, plan: Any) -> Plan:
        texts: dict[str, Any] = {n: text(getattr(plan, n)) or "" for n in ("layers", "uncond_depths", "score", "why", "warning")}
        plain: dict[str, Any] = {n: getattr(plan, n) for n in cls.__dataclass_fields__ if n not in texts and n not in ("distance", "_struct")}
        distance = plan.distance if plan.has_distance else None
        return cls(distance=distance, _struct=plan, **plain, **texts)
