"""What the machine offers, and a sweep: numbers that the program tells too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import variant
from conftest import Program


def test_the_machine_is_the_program_s(program: Program) -> None:
    told = variant.machine()
    assert told.threads == len(os.sched_getaffinity(0)) or told.quota > 0
    assert told.processors >= told.affinity >= 1 and list(told.backends)[0] == "cpu" and "ref" in told.backends
    assert told.kernels in told.backends["cpu"]
    assert told.line in program("doctor")


def test_a_sweep_measures_what_it_is_asked(engine: variant.Engine, tmp_path: Path) -> None:
    seen: list[variant.SweepProgress] = []
    small: dict[str, Any] = {"depths": [12, 2], "bridges": [4], "repeat": 1, "pictures": 1}
    found = variant.sweep(engine, tmp_path / "s", progress=seen.append, name="shoes", **small)
    assert found == json.loads((tmp_path / "s/sweep.json").read_text()) and "shoes" in (tmp_path / "s/report.html").read_text()
    assert len(found["points"]) == 2 and seen[-1].share == 1.0 and seen[0].points == 2
    assert len({point["id"] for point in found["points"]}) == 2
    other: dict[str, Any] = {**small, "pictures": 2}
    with pytest.raises(variant.Mismatch):
        variant.sweep(engine, tmp_path / "s", seed=9, **other)
    with pytest.raises(variant.Stopped):
        variant.sweep(engine, tmp_path / "t", progress=lambda at: False, **small)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"depths": [99]}, variant.ArgumentError, "99"),
        ({"depths": ["two"]}, TypeError, "depths"),
        ({"selectors": ["odd\0"]}, ValueError, "NUL"),
        ({"zones": [(3, 1)], "zone_depth": 2}, variant.ArgumentError, "zone"),
        ({"zones": [(1,), (2,)], "zone_depth": 2}, ValueError, "zones: pairs"),
        ({"zones": [(1, 2), (3, 4, 5)], "zone_depth": 2}, ValueError, "zones: pairs"),
        ({"zones": [("a", 2)], "zone_depth": 2}, TypeError, "zones: "),
        ({"bridges": 4}, TypeError, "bridges: "),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"reference": np.zeros((2, 2, 2, 2, 2), np.uint8)}, ValueError, "pictures"),
    ]
    for options, error, words in refused:
        asked: dict[str, Any] = {**small, **options}
        with pytest.raises(error) as raised:
            variant.sweep(engine, tmp_path / "u", **asked)
        assert words in str(raised.value), options
