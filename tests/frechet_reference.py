#!/usr/bin/env python3
"""Prints the constants of tests/test_frechet.c: Frechet distances by SciPy, as singular values and as sqrtm.

Gaussians by rule: numbers u in [-0.5, 0.5) from s = 1664525 s + 1013904223 mod 2^32, u = s / 2^32 - 0.5; first the mean
(n), then A (n, rank), column j times 10^(-decades j / rank); covariance A A^T. Needs NumPy and SciPy."""
import numpy as np
from scipy import linalg

CASES = [(6, 6, 0, 1, 2), (12, 12, 4, 3, 4), (16, 16, 8, 5, 6), (16, 5, 0, 7, 8)]  # n, rank, decades, two seeds


def gaussian(n, rank, decades, seed):
    state = seed

    def u():
        nonlocal state
        state = (1664525 * state + 1013904223) % 2**32
        return state / 2**32 - 0.5

    mean = np.array([u() for _ in range(n)])
    a = np.array([[u() * 10 ** (-decades * j / rank) for j in range(rank)] for _ in range(n)])
    return mean, a


for n, rank, decades, s1, s2 in CASES:
    (m1, a1), (m2, a2) = gaussian(n, rank, decades, s1), gaussian(n, rank, decades, s2)
    c1, c2 = a1 @ a1.T, a2 @ a2.T
    rest = ((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2)
    root = linalg.sqrtm(c1 @ c2)
    # the same trace without forming a singular root: the nuclear norm of A1^T A2
    nuclear = linalg.svdvals(a1.T @ a2).sum()
    print(f"{{{n}, {rank}, {decades}, {s1}, {s2}, {float(rest - 2 * nuclear)!r}}}, /* sqrtm: {float(rest - 2 * np.trace(root).real)!r} */")
