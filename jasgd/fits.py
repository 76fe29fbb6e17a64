"""Models of the staleness distribution, each fitted to the measured law by the Bhattacharyya distance."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln

from jasgd.inputs.checks import instance
from jasgd.showing import line, table
from jasgd.staleness import StalenessHistogram

#: From a pmf of shape (K + 1,) to a model's nearest parameters, and ln q_i over the same values.
Model = Callable[[np.ndarray], tuple[dict[str, float], np.ndarray]]

STALENESS_MOST = 2**20  # in updates; a model is computed at every staleness up to the largest

_TINY, _HUGE = 1e-6, 1e6  # what a parameter on (0, ∞) is kept between
_NU_SHIFT, _NU_MOST = 0.01, 1e4  # the dispersion ν ≥ 0 is searched as ln(ν + shift)
_NEGLIGIBLE = 45.0  # terms by this much smaller than the largest, in logarithms, add nothing to a sum in float64
_TIE_MOST = 0.01  # a few values would else make every model a tie


class LawFit(NamedTuple):
    """A model of the staleness distribution, as near to the measured one as it comes."""

    model: str  # a key of MODELS
    parameters: dict[str, float]
    distance: float  # D_B, 0 where the two agree
    pmf: np.ndarray  # q_i over the staleness values 0…K of the law; float64, sums to at most 1

    def __repr__(self) -> str:
        return line("LawFit", self._facts())

    def _repr_html_(self) -> str:
        return table("LawFit", self._facts())

    def _facts(self) -> dict[str, Any]:
        return {"model": self.model} | self.parameters | {"distance": self.distance}

    def __str__(self) -> str:
        return f"{self.model} ({', '.join(f'{name} {value:.4g}' for name, value in self.parameters.items())})"


def fit(law: StalenessHistogram | Any) -> list[LawFit]:
    r"""Fits every model of :data:`MODELS` to a law, the nearest first.

    .. math:: D_B(p, q) = -\ln \sum_i \sqrt{p_i\,q_i}

    Of N values, one parameter more lowers the distance by about 1/(8N) by chance alone. So models within 1/N of the
    nearest, 0.01 at most, count as equally near, and among them fewer parameters come first: a Poisson law is called
    Poisson, though a Conway-Maxwell-Poisson or a negative binomial law contains it and fits no worse.

    Args:
      law: a measured :class:`jasgd.StalenessHistogram`; or staleness values in updates, integers ≥ 0 of shape (N,).
        What a histogram has in a bin counts as evenly spread over the values in it.

    Returns:
      A :class:`LawFit` per model. Where a law is degenerate, as a constant staleness is, parameters lie at the end of
      the range that is searched.

    Raises:
      ValueError: for a law that has counted nothing, values that are not integers ≥ 0, or one above 2²⁰, since a model
        is computed at every value up to the largest.
      TypeError: for a result or an execution, which have what is meant as an attribute.

    Example:
      >>> import numpy as np
      >>> best = fit(np.random.default_rng(0).poisson(7.0, size=10_000))[0]
      >>> best.model, round(best.parameters["rate"], 1), best.distance < 0.001
      ('Poisson', 7.0, True)

    Source:
      Bäckström, Papatriantafilou, Tsigas, "MindTheStep-AsyncPSGD: adaptive asynchronous parallel stochastic gradient
      descent", IEEE Big Data 2019, arXiv 1911.03444, which compares models of the staleness by this distance.
    """
    if hasattr(law, "execution") or hasattr(law, "staleness"):  # a result, or an execution
        hint = "pass its .law" if hasattr(law, "execution") else "pass its .staleness"
        instance("law", law, StalenessHistogram, hint)
    if not isinstance(law, StalenessHistogram):
        law = StalenessHistogram.from_staleness(law)
    first, last, weights = law.distinct()
    total = float(weights.sum())
    if not total > 0:
        raise ValueError("law must have counted at least one staleness, got none")
    if last[-1] > STALENESS_MOST:
        raise ValueError(f"law must lie within 0…{STALENESS_MOST} updates to be fitted, got a staleness of {last[-1]}")
    widths = last - first + 1
    pmf = np.zeros(int(last[-1]) + 1)
    behind = np.cumsum(widths)
    within = np.arange(behind[-1]) - np.repeat(behind - widths, widths)
    pmf[np.repeat(first, widths) + within] = np.repeat(weights / (widths * total), widths)
    fitted = []
    for name, model in MODELS.items():
        parameters, log_q = model(pmf)
        q = np.exp(log_q)
        fitted.append(LawFit(name, parameters, bhattacharyya(pmf, q), q))
    fitted.sort(key=lambda f: f.distance)
    limit = fitted[0].distance + min(1 / total, _TIE_MOST)
    # Stable: models of equal size stay in the order of their distances, or else of the table.
    return sorted(fitted, key=lambda f: (False, len(f.parameters)) if f.distance <= limit else (True, 0))


def bhattacharyya(p: np.ndarray, q: np.ndarray) -> float:
    r""":math:`D_B(p, q) = -\ln \sum_i \sqrt{p_i\,q_i}`.

    Args:
      p: probabilities, shape (K,).
      q: probabilities of the same values, shape (K,).

    Returns:
      The distance, ≥ 0; infinite where they have no value in common.

    Example:
      >>> round(bhattacharyya(np.array([0.5, 0.5]), np.array([1.0, 0.0])), 4)  # ln √2
      0.3466
    """
    overlap = float(np.sqrt(p * q).sum())
    # Rounding can bring the overlap of equal distributions to a little above 1.
    return max(0.0, -math.log(overlap)) if overlap > 0 else math.inf


def poisson(pmf: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    r""":math:`q_i = e^{-\lambda} \lambda^i / i!`, rate λ."""
    i, mean = _support(pmf)
    if mean == 0:
        return {"rate": 0.0}, np.zeros(1)

    def log_q(x: np.ndarray) -> np.ndarray:
        return i * x[0] - math.exp(x[0]) - gammaln(i + 1)

    x = _search(log_q, pmf, _means(pmf), [_log_range(len(pmf))])
    return {"rate": math.exp(x[0])}, log_q(x)


def geometric(pmf: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    r""":math:`q_i = p\,(1 - p)^i`."""
    i, mean = _support(pmf)
    if mean == 0:
        return {"p": 1.0}, np.zeros(1)

    def log_q(x: np.ndarray) -> np.ndarray:  # of the mean, (1 - p) / p
        return i * (x[0] - np.logaddexp(0, x[0])) - np.logaddexp(0, x[0])

    x = _search(log_q, pmf, _means(pmf), [_log_range(len(pmf))])
    return {"p": 1 / (1 + math.exp(x[0]))}, log_q(x)


def negative_binomial(pmf: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    r""":math:`q_i = \frac{\Gamma(i + r)}{i!\,\Gamma(r)}\,p^r (1 - p)^i`; geometric at r = 1, Poisson for large r."""
    i, mean = _support(pmf)
    if mean == 0:
        return {"r": 1.0, "p": 1.0}, np.zeros(1)
    log_factorial = gammaln(i + 1)

    def log_q(x: np.ndarray) -> np.ndarray:  # of the mean r (1 - p) / p, and r
        r = math.exp(x[1])
        log_p, log_rest = -np.logaddexp(0, x[0] - x[1]), -np.logaddexp(0, x[1] - x[0])
        # Not lnΓ(i + r) - lnΓ(r), which for a large r differ by less than either is exact to.
        log_rising = np.append(0.0, np.cumsum(np.log(r + i[:-1])))
        return log_rising - log_factorial + r * log_p + i * log_rest

    variance = float(pmf @ (i - mean) ** 2)
    most = _HUGE * max(1.0, mean)  # of r: the variance, mean + mean² / r, is then Poisson's to a millionth
    r = mean**2 / (variance - mean) if variance > mean else most
    # Started from the laws that this one contains as well, it ends no farther away than they do.
    rate, p = poisson(pmf)[0]["rate"], geometric(pmf)[0]["p"]
    starts = [[math.log(mean), math.log(r)], [math.log(rate), math.log(most)], [math.log(1 / p - 1), 0.0]]
    x = _search(log_q, pmf, starts, [_log_range(10 * len(pmf)), _log_range(most)])
    return {"r": math.exp(x[1]), "p": 1 / (1 + math.exp(x[0] - x[1]))}, log_q(x)


def conway_maxwell_poisson(pmf: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    r""":math:`q_i = \lambda^i / ((i!)^\nu Z)`, log_rate ln λ; Poisson at ν = 1, geometric at ν = 0, peaked above."""
    i, mean = _support(pmf)
    far = np.arange(4 * len(pmf) + 200)  # Z runs over these, and over a geometric bound on the terms after them
    last, log_factorial, log_behind = len(far) - 1, gammaln(far + 1), math.log(len(far))

    def natural(x: np.ndarray) -> tuple[float, float]:
        # ln λ / (ν + 1) keeps its order from the geometric end, λ < 1, to the peaked one, λ = mode to the power ν.
        nu = max(math.exp(x[1]) - _NU_SHIFT, 0.0)
        return x[0] * (nu + 1), nu

    def coordinates(log_rate: float, nu: float) -> list[float]:
        return [log_rate / (nu + 1), math.log(nu + _NU_SHIFT)]

    def log_q(x: np.ndarray) -> np.ndarray:
        log_rate, nu = natural(x)
        log_ratio = log_rate - nu * log_behind
        if log_ratio >= 0:  # most of the law lies above everything measured
            return np.full(len(i), -np.inf)

        def term(j: int) -> float:
            return j * log_rate - nu * log_factorial[j]

        # The terms rise to the mode and fall after it, ever faster: what is e⁻⁴⁵ of the largest ends what counts.
        mode = min(int(math.exp(min(log_rate / nu, log_behind))), last) if log_rate > 0 else 0
        least = term(mode) - _NEGLIGIBLE
        start = bisect.bisect_left(range(mode), least, key=term)
        stop = mode + bisect.bisect_right(range(mode, last + 1), -least, key=lambda j: -term(j))
        head = _log_sum(far[start:stop] * log_rate - nu * log_factorial[start:stop])
        log_z = np.logaddexp(head, term(last) + log_ratio - math.log(-math.expm1(log_ratio)))
        return i * log_rate - nu * log_factorial[: len(i)] - log_z

    variance = float(pmf @ (i - mean) ** 2)
    nu = min(max(mean / max(variance, 1e-3), 0.05), _NU_MOST)
    starts = [coordinates(nu * math.log(max(mean + (nu - 1) / (2 * nu), _TINY)), nu)]
    if mean > 0:
        rate, p = poisson(pmf)[0]["rate"], geometric(pmf)[0]["p"]
        starts += [coordinates(math.log(rate), 1.0), coordinates(math.log1p(-p), 0.0)]
    x = _search(log_q, pmf, starts, [(-50.0, math.log(len(pmf) + 1)), (math.log(_NU_SHIFT), math.log(_NU_MOST))])
    log_rate, nu = natural(x)
    return {"log_rate": log_rate, "nu": nu}, log_q(x)


def uniform(pmf: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    r""":math:`q_i = 1 / (high - low + 1)` on low…high, the best of all intervals."""
    seen = np.flatnonzero(pmf)  # the best interval begins and ends at values that were seen
    below = np.concatenate([[0.0], np.cumsum(np.sqrt(pmf[seen]))])
    best = (-1.0, 0, 0)
    for place, low in enumerate(seen):
        overlaps = (below[place + 1 :] - below[place]) / np.sqrt(seen[place:] - low + 1)
        end = int(np.argmax(overlaps))
        best = max(best, (float(overlaps[end]), int(low), int(seen[place + end])), key=lambda candidate: candidate[0])
    _, low, high = best
    i = np.arange(len(pmf))
    log_q = np.where((i >= low) & (i <= high), -math.log(high - low + 1), -np.inf)
    return {"low": float(low), "high": float(high)}, log_q


#: The models; another one is another function here.
MODELS: dict[str, Model] = {
    "Poisson": poisson,
    "geometric": geometric,
    "uniform": uniform,
    "negative binomial": negative_binomial,
    "Conway-Maxwell-Poisson": conway_maxwell_poisson,
}


def _support(pmf: np.ndarray) -> tuple[np.ndarray, float]:
    i = np.arange(len(pmf))
    return i, float(pmf @ i)


def _log_sum(logarithms: np.ndarray) -> float:
    """The logarithm of the sum; SciPy's, which cares for shapes and weights, takes four times as long."""
    largest = float(logarithms.max())
    return largest + math.log(float(np.exp(logarithms - largest).sum())) if math.isfinite(largest) else largest


def _log_range(most: float) -> tuple[float, float]:
    return math.log(_TINY), math.log(most)


def _means(pmf: np.ndarray) -> list[list[float]]:
    """Logarithms of where to start; several, since a law with several peaks has a nearest model at each."""
    i, mean = _support(pmf)
    quantiles = np.searchsorted(np.cumsum(pmf), [0.1, 0.5, 0.9])
    return [[math.log(m)] for m in {mean, *(max(float(m), 0.1) for m in [*quantiles, i[pmf.argmax()]])}]


def _search(
    log_q: Callable[[np.ndarray], np.ndarray],
    pmf: np.ndarray,
    starts: list[list[float]],
    bounds: list[tuple[float, float]],
) -> np.ndarray:
    """The coordinates of the least distance, by descent from every start; never worse than the best start."""
    from scipy.optimize import minimize  # here, since importing it takes a third as long as importing all of jasgd

    lows, highs = np.array(bounds).T
    seen = pmf > 0
    half_log_p = 0.5 * np.log(pmf[seen])

    def distance(x: np.ndarray) -> float:
        # In logarithms there is a slope where the overlap itself would underflow.
        value = -_log_sum(half_log_p + 0.5 * log_q(x)[seen])
        return value if math.isfinite(value) else 1e300

    ends: list[tuple[float, np.ndarray]] = []
    for start in starts:
        x = np.clip(start, lows, highs)
        # Steps point inwards: a simplex that had to be clipped to the bounds would be flat.
        simplex = np.vstack([x, x + np.diag(np.where(x + 0.2 <= highs, 0.2, -0.2))])
        options = {"initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-12, "maxiter": 500}
        end = minimize(distance, x, method="Nelder-Mead", bounds=bounds, options=options)
        ends += [(distance(x), x), (float(end.fun), end.x)]
    return min(ends, key=lambda end: end[0])[1]
