"""TAIL-τ with the mid-distribution function, as a distortion: the quadratic one."""

parameters = {"A": (0, 1)}


def distortion(u, A):
    return u + A * u * (1 - u)
