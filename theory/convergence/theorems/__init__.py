"""The convergence theorems, one file each; a line of ``THEOREMS`` makes one known to ``python -m theory.bounds``."""

from __future__ import annotations

from theory.convergence import trace
from theory.convergence.theorem import Theorem
from theory.convergence.theorems import (
    bounded_gradients,
    bounded_gradients_pl,
    convex,
    distances,
    mindthestep,
    nonconvex,
    nonconvex_sharp,
    pl,
    strongly_convex,
    threshold_count,
)
from theory.convergence.theorems.mishchenko import theorem_1, theorem_2, theorem_3_1, theorem_3_2, theorem_3_3

_ALL = [
    nonconvex.THEOREM,
    nonconvex_sharp.THEOREM,
    convex.THEOREM,
    pl.THEOREM,
    strongly_convex.THEOREM,
    bounded_gradients.THEOREM,
    bounded_gradients_pl.THEOREM,
    threshold_count.THEOREM,
    mindthestep.THEOREM,
    trace.THEOREM,
    distances.THEOREM,
    theorem_1.THEOREM,
    theorem_2.THEOREM,
    theorem_3_1.THEOREM,
    theorem_3_2.THEOREM,
    theorem_3_3.THEOREM,
]

#: By their keys, in the order of their listing.
THEOREMS: dict[str, Theorem] = {theorem.key: theorem for theorem in _ALL}
