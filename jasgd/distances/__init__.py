r"""Step-size functions C(D) of the distance between where a gradient was computed and where it is applied.

They are rules for :func:`jasgd.distance_adaptive`, which also takes rank rules such as :func:`jasgd.rules.tail`.
Those here are functions of the squared distance.
"""

from __future__ import annotations

from jasgd.distances.parabolas import measured_parabola, parabola
from jasgd.distances.table import PARABOLAS

__all__ = ["PARABOLAS", "measured_parabola", "parabola"]
