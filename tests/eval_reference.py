#!/usr/bin/env python3
"""Prints the constants of tests/test_eval.c and writes tests/golden/npz: NumPy and SciPy's word on the scores, and archives
as np.savez makes them.

Numbers by rule: u in [-0.5, 0.5) from s = 1664525 s + 1013904223 mod 2^32, u = s / 2^32 - 0.5, as float32."""
import os

import numpy as np
from scipy import linalg, ndimage, spatial

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "npz")


def numbers(count, seed):
    out = np.empty(count)
    for i in range(count):
        seed = (1664525 * seed + 1013904223) % 2**32
        out[i] = seed / 2**32 - 0.5
    return out.astype(np.float32).astype(np.float64)


def psnr(a, b):
    return 10 * np.log10(1 / np.mean((a - b) ** 2))


def ssim(a, b):
    """Wang et al. 2004: 11 x 11 Gaussian windows of sigma 1.5 inside the picture, the mean over channels."""
    weight = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))
    window = np.outer(weight, weight) / weight.sum() ** 2

    def mean(x):
        return ndimage.correlate(x, window)[5:-5, 5:-5]

    maps = []
    for c in range(a.shape[2]):
        x, y = a[:, :, c], b[:, :, c]
        mx, my = mean(x), mean(y)
        vx, vy, xy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        maps.append((2 * mx * my + 1e-4) * (2 * xy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return np.mean(maps)


def inside(samples, of, k):
    """The share of `samples` within reach of one of `of`: each reaches to its k-th neighbour."""
    reach = np.sort(spatial.distance.cdist(of, of), axis=1)[:, k]
    return np.mean((spatial.distance.cdist(samples, of) <= reach).any(axis=1))


def frechet(m1, s1, m2, s2):
    root = linalg.sqrtm(s1)
    return np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * linalg.svdvals(root @ linalg.sqrtm(s2)).sum()


def inception_score(p):
    return np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(axis=0))), axis=1)))


a = numbers(17 * 13 * 3, 1).reshape(17, 13, 3) + 0.5
b = np.clip(a + 0.3 * numbers(17 * 13 * 3, 2).reshape(17, 13, 3), 0, 1).astype(np.float32).astype(np.float64)
print("psnr %.17g ssim %.17g" % (psnr(a.astype(np.float32).astype(np.float64), b), ssim(a, b)))

real, made = numbers(60 * 4, 3).reshape(60, 4), 0.8 * numbers(40 * 4, 4).reshape(40, 4) + 0.2
made = made.astype(np.float32).astype(np.float64)
print("precision %.17g recall %.17g" % (inside(made, real, 3), inside(real, made, 3)))

# pictures of the test's network: 4 pooled features, 3 probabilities, 2 spatial features
real, made = numbers(50 * 9, 5).reshape(50, 9), (0.5 * numbers(30 * 9, 6) + 0.25).reshape(30, 9)
made = made.astype(np.float32).astype(np.float64)
moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (made[:, :4], real[:, :4], made[:, 7:], real[:, 7:])]
print("frechet %.17g spatial %.17g" % (frechet(*moments[0], *moments[1]), frechet(*moments[2], *moments[3])))
p = np.exp(made[:, 4:7])
p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
print("inception score %.17g" % inception_score(p))

os.makedirs(FOLDER, exist_ok=True)
(mu, sigma), (mu_s, sigma_s) = moments[1], moments[3]
np.savez(os.path.join(FOLDER, "statistics.npz"), mu=mu, sigma=sigma, mu_s=mu_s, sigma_s=sigma_s)
np.savez(os.path.join(FOLDER, "pooled.npz"), mu=mu.astype(np.float32), sigma=sigma.astype(np.float32))
np.savez_compressed(os.path.join(FOLDER, "compressed.npz"), mu=np.zeros(64), sigma=np.zeros((64, 64)))
np.savez(os.path.join(FOLDER, "others.npz"), narrow=np.array([[1, -2.5], [3, 1e30]], np.float32), scalar=np.float64(7.25),
         empty=np.zeros((0, 3)), fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)), whole=np.arange(3),
         big=np.arange(3).astype(">f8"), five=np.zeros((1, 1, 1, 1, 1)), text=np.array(["a"]),
         pair=np.zeros(2, [("x", "<f8"), ("y", "<f8")]))
