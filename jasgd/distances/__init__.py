r"""Step-size functions C(D) of the distance between where a gradient was computed and where it is applied.

They go into :func:`jasgd.distance_adaptive`. Rank rules such as :func:`jasgd.rules.tail` do as well; those here are
functions of the squared distance.
"""

from __future__ import annotations

from jasgd.distances.parabolas import measured_parabola, parabola
from jasgd.distances.table import PARABOLAS

__all__ = ["PARABOLAS", "measured_parabola", "parabola"]
