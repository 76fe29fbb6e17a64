r"""Numbers with standard errors: |∇f|² and the loss from mini-batches, and what lies within a bound.

At a version, four gradients of independent mini-batches give

.. math:: \widehat{|\nabla f|^2} = \tfrac16\sum_{i<j}\langle g_i, g_j\rangle,

which is unbiased: no product has the noise of one gradient twice. Its variance is the jackknife's over the four, which
is at most three times too large. (B. Efron and C. Stein, "The Jackknife Estimate of Variance", 1981.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

AT_EACH = 4  # gradients at a version
SIGMAS = 3.0  # standard errors within which nothing is told apart
ROUNDING = 1e-5  # relative, of what single precision computes


class Measured(NamedTuple):
    """A number with its standard error, which is enlarged where few values have determined it.

    Attributes:
      value: in the unit of what was measured.
      error: e, such that value ± 3e holds with the chance of three standard deviations of a normal distribution.
    """

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.error:.2g}"

    def minus(self, other: Measured) -> Measured:
        """The difference of two independent numbers.

        Example:
          >>> Measured(5.0, 0.3).minus(Measured(1.0, 0.4))
          Measured(value=4.0, error=0.5)
        """
        return Measured(self.value - other.value, float(np.hypot(self.error, other.error)))

    def against(self, bound: Measured) -> str:
        """Where the number lies: ``"within"`` the bound, ``"above"`` it, or ``"cannot tell"`` within three errors.

        Args:
          bound: with its own error, 0 where it is known.

        Returns:
          One of the three.

        Example:
          >>> [Measured(2.0, error).against(Measured(2.5, 0.0)) for error in (0.1, 0.2)]
          ['within', 'cannot tell']
        """
        apart = self.minus(bound)
        margin = SIGMAS * apart.error + ROUNDING * max(abs(self.value), abs(bound.value))
        if apart.error == 0:
            return "within" if apart.value <= margin else "above"
        return "within" if apart.value <= -margin else "above" if apart.value > margin else "cannot tell"


def enlarged(variance: float, terms: np.ndarray, degrees: Any) -> float:
    """A standard error, times how much farther Student's t reaches than a normal variable at three of them.

    Args:
      variance: the sum of the terms.
      terms: estimated variances of independent shares.
      degrees: of freedom of each.

    Returns:
      The error, with the degrees of freedom of Welch and Satterthwaite.

    Example:
      >>> round(enlarged(1.0, np.array([1.0]), 3), 2), round(enlarged(1.0, np.full(1000, 0.001), 3), 2)
      (3.07, 1.0)
    """
    if not variance > 0:
        return 0.0
    effective = variance**2 / float(np.sum(terms**2 / degrees))
    return float(np.sqrt(variance) * max(1.0, stats.t.ppf(stats.norm.cdf(SIGMAS), effective) / SIGMAS))


def squared_norm(products: np.ndarray) -> tuple[float, float]:
    r"""An unbiased :math:`|E g|^2` and the jackknife's variance of it, from the inner products of gradients.

    Args:
      products: :math:`\langle g_i, g_j\rangle` of independent gradients, shape (n, n), n ≥ 3.

    Returns:
      The mean of all products of two different ones, and its variance.

    Example:
      >>> gradients = np.array([[3.0], [1.0], [2.0], [2.0]])
      >>> value, variance = squared_norm(gradients @ gradients.T)
      >>> round(value, 6), round(variance, 6)
      (3.833333, 2.75)
    """
    n = len(products)
    sums = products.sum(axis=1) - np.diag(products)  # of each with all others
    total = sums.sum() / 2
    without = (total - sums) / ((n - 1) * (n - 2) / 2)
    value = total / (n * (n - 1) / 2)
    return float(value), float((n - 1) / n * np.sum((without - value) ** 2))


def mean_of(losses: Sequence[float]) -> tuple[float, float]:
    """The mean of some losses, and its variance."""
    values = np.asarray(losses, np.float64)
    return float(values.mean()), float(values.var(ddof=1) / len(values))
