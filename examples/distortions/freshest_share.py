"""Only the freshest share q of the gradients is applied, at 1/q: C is 0 for the others, so ``positive`` is refuted."""

import sympy

parameters = {"q": (0, 1)}


def distortion(u, q):
    return sympy.Min(u / q, 1)
