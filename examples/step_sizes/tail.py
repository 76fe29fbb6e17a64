"""TAIL-τ: every condition is proved, for every law of the staleness at once."""


def step_size(tau, F):
    return 1 + (1 - 2 * F)


cdf = "mid"
