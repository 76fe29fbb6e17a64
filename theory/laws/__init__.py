r"""Laws of the staleness: probabilities, tails and generating functions, each exact or with a bound.

Laws are written ``name:number:number``; numbers are decimals or fractions and are taken exactly. ``geometric:p`` is
:math:`P[T=i] = p(1-p)^i`, i ≥ 0; ``negative_binomial:r:p`` :math:`\binom{i+r-1}{i}p^r(1-p)^i`; ``cmp:λ:ν``
(Conway, Maxwell, Poisson) is proportional to :math:`\lambda^i/(i!)^\nu`.
"""

from __future__ import annotations

from theory.laws.finite import FiniteLaw, UniformLaw
from theory.laws.law import Law
from theory.laws.mixture import Mixture
from theory.laws.unbounded import CMP, NegativeBinomial, Poisson, UnboundedLaw

__all__ = ["CMP", "FiniteLaw", "Law", "Mixture", "NegativeBinomial", "Poisson", "UnboundedLaw", "UniformLaw"]
