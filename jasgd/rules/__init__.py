r"""Staleness-adaptive step-size functions C(τ): each one function, with its equation and its source.

A rule is any function ``rule(staleness)`` or ``rule(staleness, law)`` that returns the factor :math:`C(\tau)` by
which a gradient of staleness τ is scaled; it is traced, and must map over an array of staleness values. Yours needs
no registration: pass it to :func:`jasgd.staleness_adaptive`. Those here are made by the factories of this table, and
their formulas are written over a namespace ``xp`` (``jax.numpy`` by default), so that SymPy can read them too.
"""

from __future__ import annotations

from jasgd.rules.damping import constant, exponential, hinge, inverse, power, threshold
from jasgd.rules.delay_adaptive import adadelay, koloskova, mishchenko
from jasgd.rules.distortions import distortion, freshest_share, rank_exponential, rank_power
from jasgd.rules.law_based import normalized, tail
from jasgd.rules.lines import best_linear, linear
from jasgd.rules.protocol import Rule, StepSizeMoments, evaluate, reads_law, step_size_moments
from jasgd.rules.published import tail_published
from jasgd.rules.table import RULES, named

__all__ = [
    "RULES",
    "Rule",
    "StepSizeMoments",
    "adadelay",
    "best_linear",
    "constant",
    "distortion",
    "evaluate",
    "exponential",
    "freshest_share",
    "hinge",
    "inverse",
    "koloskova",
    "linear",
    "mishchenko",
    "named",
    "normalized",
    "power",
    "rank_exponential",
    "rank_power",
    "reads_law",
    "step_size_moments",
    "tail",
    "tail_published",
    "threshold",
]
