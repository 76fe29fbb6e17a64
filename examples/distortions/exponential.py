"""Slopes that fall exponentially with the share of fresher gradients, within a factor of 3 of 1."""

import sympy

parameters = {"k": (1 / 2, 2)}
amplitude = 2


def distortion(u, k):
    return (1 - sympy.exp(-k * u)) / (1 - sympy.exp(-k))
