"""One minus a power of the share that is staler: the larger k, the more a gradient gains by being fresh."""

parameters = {"k": (1, None)}


def distortion(u, k):
    return 1 - (1 - u) ** k
