#!/usr/bin/env python3
"""Writes tests/golden/npz/kinds*.npz and statistics_packed.npz with NumPy: every type of number that is read, in both byte
orders and both orders of axes, deflated and stored, and types that are refused."""
import os

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "npz")

count, signs, halves = np.arange(6), np.arange(-2, 4), np.array([-1.5, 0.25, 65504])
cube = np.arange(24.0).reshape(2, 3, 4)
arrays = {kind: count.astype(kind) for kind in ("u1", "u2", "u4", "u8")}
arrays.update({kind: signs.astype(kind) for kind in ("i1", "i2", "i4", "i8", "f4", "f8")})
arrays.update(u2_big=count.astype(">u2"), u8_big=count.astype(">u8"), i4_big=signs.astype(">i4"), f4_big=signs.astype(">f4"),
              f8_big=signs.astype(">f8"), f2=halves.astype("<f2"), f2_big=halves.astype(">f2"),
              flags=np.array([True, False, True]), cube=cube, cube_fortran=np.asfortranarray(cube),
              pictures=np.arange(84, dtype=np.uint8).reshape(7, 2, 2, 3), bytes=np.zeros(3, "V2"), complex=np.zeros(2, "c8"))
np.savez_compressed(os.path.join(FOLDER, "kinds.npz"), **arrays)
np.savez(os.path.join(FOLDER, "kinds_stored.npz"), **arrays)
with np.load(os.path.join(FOLDER, "statistics.npz")) as statistics:
    np.savez_compressed(os.path.join(FOLDER, "statistics_packed.npz"), **statistics)
