#!/usr/bin/env python3
"""Writes src/kern/cpu/isa/gelu_pieces.h: cubics for GELU in training.

gelu(x) = max(x, 0) - g(|x|), where g(y) = y - gelu(y) is 0 at 0, at most 0.17 and gone beyond y = 5. Piece i of 32 is the
cubic through g at the four Chebyshev nodes of |6 y - i| <= 1/2 (piece 0: at 0 and three of them); the last is 0. Usage: tools/gelu_pieces.py > FILE"""
import math

STEPS, PIECES, DEGREE = 6, 32, 3


def g(y):
    return 0.5 * y * (1 - math.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))


def cubic(low, high):
    """Coefficients of 1, y, y^2, y^3, by Newton's divided differences."""
    nodes = [(low + high) / 2 + (high - low) / 2 * math.cos(math.pi * (i + 0.5) / (DEGREE + 1)) for i in range(DEGREE + 1)]
    if low == 0:
        nodes[-1] = 0.0  # gelu(0) = 0
    slopes = [g(y) for y in nodes]
    for width in range(1, DEGREE + 1):
        for i in range(DEGREE, width - 1, -1):
            slopes[i] = (slopes[i] - slopes[i - 1]) / (nodes[i] - nodes[i - width])
    total = [0.0] * (DEGREE + 1)
    for i in range(DEGREE, -1, -1):  # total = total (y - node) + slope
        total = [(total[j - 1] if j else 0.0) - nodes[i] * total[j] for j in range(DEGREE + 1)]
        total[0] += slopes[i]
    return total


pieces = [cubic(max(0.0, (i - 0.5) / STEPS), (i + 0.5) / STEPS) for i in range(PIECES - 1)] + [[0.0] * (DEGREE + 1)]
print(f"""/* gelu_pieces.h - made by tools/gelu_pieces.py: cubics a + b y + c y^2 + d y^3 of g(y) = y - gelu(y), piece i for |{STEPS} y - i| <= 1/2.
 * Good to 4e-7 (beyond 5.08, where g is taken for 0: to 1e-6), its derivative to 8e-5. Called by train_gelu.h. */
#ifndef VT_KERN_CPU_ISA_GELU_PIECES_H
#define VT_KERN_CPU_ISA_GELU_PIECES_H

enum {{ VT_GELU_STEPS = {STEPS}, VT_GELU_PIECES = {PIECES} }};

static const float vt_gelu_pieces[{DEGREE + 1}][VT_GELU_PIECES] = {{""")
for power in range(DEGREE + 1):
    for at in range(0, PIECES, 4):
        line = ", ".join(f"{piece[power]:.9e}f" for piece in pieces[at:at + 4])
        print(("    {" if at == 0 else "     ") + line + ("}," if at + 4 == PIECES else ","))
print("};\n\n#endif")
