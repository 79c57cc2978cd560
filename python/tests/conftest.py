"""What the tests share: the shipped models, the program that the pictures are compared with."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import variant

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    os.chdir(ROOT)  # doctests name models/fashion


@pytest.fixture(scope="session")
def engine() -> Iterator[variant.Engine]:
    with variant.Engine(ROOT / "models/fashion") as opened:
        yield opened


@pytest.fixture(scope="session")
def colour() -> Iterator[variant.Engine]:
    with variant.Engine(ROOT / "models/cartoon", encoder=True) as opened:
        yield opened


class Program:
    """The command of the same build, where VARIANT names it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, *arguments: object) -> str:
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture(scope="session")
def program() -> Program:
    path = os.environ.get("VARIANT")
    if path is None:
        pytest.skip("VARIANT names no program")
    return Program(path)


def flip(path: Path, name: str | None, to: Path) -> str:
    """A copy of a file, with one bit of a tensor changed (None: of the largest); the tensor's name."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    sums = json.loads(header["__metadata__"]["variant.checksums"])["xxh3-128-mib"]
    place: dict[str, tuple[int, int]] = {tensor: (header[tensor]["data_offsets"][0], header[tensor]["data_offsets"][1]) for tensor in sums}
    changed = name or max(place, key=lambda tensor: place[tensor][1] - place[tensor][0])
    content[8 + size + place[changed][0] + 1000] ^= 1
    to.write_bytes(content)
    return changed
