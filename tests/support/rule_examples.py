"""One example of every rule, with the options that it needs."""

from __future__ import annotations

#: Every rule of the table, with options that make it valid: one line each.
EXAMPLES = {
    "constant": {},
    "inverse": {},
    "power": {"exponent": 0.7},
    "hinge": {"grace": 2, "slope": 0.5},
    "exponential": {"beta": 0.2},
    "threshold": {"bound": 5},
    "mishchenko": {"learning_rate": 0.1, "smoothness": 1.0, "workers": 4},
    "koloskova": {"learning_rate": 0.2, "smoothness": 1.0, "concurrency": 4},
    "adadelay": {"learning_rate": 0.1},
    "tail": {"amplitude": 0.8},
    "tail_published": {"workers": 4},
    "rank_power": {"exponent": 3},
    "rank_exponential": {"rate": 2.0},
    "freshest_share": {"share": 0.7},
    "linear": {"cutoff": 1.5},
    "best_linear": {"c": 0.2},
}
