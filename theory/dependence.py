r"""Statistics of one recorded series of staleness, whose rows depend on each other.

Over any stretch the values of τ of busy workers add up to nearly (m - 1) times its length. So their mean hardly varies,
and a change shows in how they spread about it, or in who has which. Rows are tied over a few cycles, a cycle being one
commit of each worker: nearly mean τ + 1 rows. The tests cut the series into blocks of at least :data:`CYCLES` cycles,
and permute what would be exchangeable if nothing but the null hypothesis were at work:

==============================  ================================================
test                            permutes
==============================  ================================================
:func:`drift`                   blocks
:func:`worker_dependence`       within each block, which worker is called which
:func:`value_dependence`        within each block, by how much values are shifted
==============================  ================================================

All of them assume that what is further apart than a block is independent, or nearly so: workers whose times hardly vary
keep their order for 1 / (coefficient of variation)² cycles, and take more rows than others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, signal, stats

CYCLES = 8  # of the workers in a block, at least
FEWEST_ROWS = 16  # in a block
FEWEST_BLOCKS, MOST_BLOCKS = 8, 32
PERMUTATIONS = 1999


class MeanError(NamedTuple):
    """A mean, its standard error, and the number of independent values whose mean has that error."""

    mean: float
    error: float
    effective: float


class Test(NamedTuple):
    """A test: its p-value in (0, 1], or NaN where ``what`` says why there is none; ``what`` in plain words."""

    p_value: float
    statistic: float
    what: str
    __test__ = False  # or pytest takes it for tests


def mean_with_error(values: Any) -> MeanError:
    r"""The mean of a stationary series and its standard error, by batch means.

    .. math:: \text{error}^2 = \frac{1}{B(B - 1)} \sum_b (\bar{x}_b - \bar{x})^2, \qquad
       \text{effective} = \frac{\operatorname{var}(x)}{\text{error}^2}

    The batches are :math:`B = \min(30, \lfloor\sqrt{n}\rfloor)` runs of ⌊n / B⌋ successive values: more batches would
    be shorter than the memory of the series, and fewer tell their own variance badly. The error assumes that batches
    are nearly uncorrelated, and is that of Student's t with B - 1 degrees of freedom. Where a law of conservation ties
    the mean, as with τ, the error is too large rather than too small, and ``effective`` may exceed n.

    Args:
      values: shape (n,), finite real numbers, of any unit; n ≥ 1.

    Returns:
      The mean and its error, in the unit of the values, and the effective number. The error and the number are NaN for
      n < 4; constant values have the error 0 and the number n.

    Raises:
      ValueError: for no values, more than one dimension, or values that are not finite.

    Example:
      >>> mean_with_error([0, 2, 1, 3])  # two batches, of means 1 and 2
      MeanError(mean=1.5, error=0.5, effective=6.666666666666667)

    Source: B. Schmeiser, "Batch Size Effects in the Analysis of Simulation Output", 1982.
    """
    series = _finite("values", values)
    n = len(series)
    batches = min(30, int(np.sqrt(n)))
    if batches < 2:
        return MeanError(float(series.mean()), np.nan, np.nan)
    if np.ptp(series) == 0:
        return MeanError(float(series[0]), 0.0, float(n))
    last = series[n - n // batches * batches :]  # the first few, which no batch has, are the likeliest to be start-up
    error = last.reshape(batches, -1).mean(axis=1).std(ddof=1) / np.sqrt(batches)
    effective = series.var(ddof=1) / error**2 if error > 0 else np.inf
    return MeanError(float(series.mean()), float(error), float(effective))


def drift(staleness: Any, *, seed: int = 0, skip: int | None = None) -> Test:
    r"""Whether the law of τ changes in the course of the series: a CUSUM test whose null permutes blocks.

    .. math:: \max_{f, k} \left| \frac{1}{k} \sum_{b \le k} \bar{f}_b - \frac{1}{B - k} \sum_{b > k} \bar{f}_b \right|
       \sqrt{\frac{k (B - k)}{B}} \Big/ \operatorname{sd}(\bar{f})

    over τ, τ², and the shares of τ above their median and their 90 % quantile; :math:`\bar{f}_b` is the mean over block
    b. All functions are permuted together, so their maximum needs no correction for how many they are. The p-value
    assumes that the means of blocks are exchangeable if there is no drift: stationary, and mixing over less than a
    block. A conserved mean varies less over many blocks than their permutations do, which makes false alarms rarer.

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      seed: of the permutations.
      skip: how many rows of start-up to leave out; None: two cycles.

    Returns:
      The test, with what differs most between before and after.

    Raises:
      ValueError: for no rows, more than one dimension, or anything but integers ≥ 0.

    Example:
      >>> test = drift([0, 1, 2, 3] * 100 + [0, 0, 3, 3] * 100)
      >>> test.p_value, test.what
      (0.0005, 'mean τ² is 3.53 before row 414 and 4.5 after')

    Source: E. S. Page, "Continuous Inspection Schemes", 1954; C. Kirch, "Block Permutation Principles for the Change
    Analysis of Dependent Data", 2007.
    """
    tau = _staleness(staleness)
    skip = 2 * int(np.ceil(tau.mean() + 1)) if skip is None else skip
    if skip < 0:
        raise ValueError(f"skip must be ≥ 0, got {skip}")
    edges = _blocks(tau[skip:])
    if isinstance(edges, str):
        return Test(np.nan, np.nan, edges)
    tau, count, length = tau[skip : skip + edges[-1]], len(edges) - 1, edges[1]
    middle, high = (int(np.quantile(tau, q, method="inverted_cdf")) for q in (0.5, 0.9))
    functions = {"mean τ": tau, "mean τ²": tau**2}
    functions |= {f"the share of τ > {limit}": (tau > limit).astype(int) for limit in (middle, high)}
    means = np.array([f.reshape(count, length).mean(axis=1) for f in functions.values()])
    means[0] = tau.reshape(count, length) @ (signal.windows.hann(length + 2)[1:-1] * 2 / (length + 1))
    centred = means - means.mean(axis=1, keepdims=True)
    size = centred.std(axis=1, ddof=1, keepdims=True)
    scaled = np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-9 * np.abs(means).max())
    k = np.arange(2, count - 1)  # at least two blocks on either side
    weight = np.sqrt(count / (k * (count - k)))

    def contrasts(order: np.ndarray) -> np.ndarray:
        return np.abs(np.cumsum(scaled[:, order], axis=-1)[..., 1:-2]) * weight

    seen = contrasts(np.arange(count))
    if not scaled.any():
        return Test(1.0, 0.0, "all blocks are alike" if np.ptp(tau) else f"every τ is {tau[0]}")
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(count), (PERMUTATIONS, 1)), axis=1)
    which, where = np.unravel_index(seen.argmax(), seen.shape)
    name, row = list(functions)[which], k[where] * length
    before, after = functions[name][:row].mean(), functions[name][row:].mean()
    what = f"{name} is {before:.3g} before row {skip + row} and {after:.3g} after"
    return Test(_p_value(seen.max(), contrasts(orders).max(axis=(0, 2))), float(seen.max()), what)


def worker_dependence(staleness: Any, workers: Any, *, seed: int = 0) -> Test:
    r"""Whether the law of τ depends on the worker: within each block, the workers' names are permuted.

    .. math:: S_f = \sum_w \frac{1}{B_w} \Big( \sum_b (\bar{f}_{bw} - \bar{f}_b) \Big)^2

    for f the rank of τ, and how far it is from the middle; :math:`\bar{f}_{bw}` is the mean over worker w's rows of
    block b, :math:`\bar{f}_b` that of the workers which have any, and :math:`B_w` how many blocks w has rows in. Both
    sums are standardised by their permutations; the larger one counts. A name moves with all rows that its worker has
    in a block, so neither their dependence nor the tie between a worker's read and its last commit is broken, as shifts
    of the column of workers would. The p-value assumes that workers are exchangeable if they do not differ, and mix
    over less than a block.

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      workers: shape (T,), integers: who committed.
      seed: of the permutations.

    Returns:
      The test, with the worker that differs most.

    Raises:
      ValueError: for no rows, other shapes, or anything but integers, those of ``staleness`` ≥ 0.

    Example:
      >>> test = worker_dependence([1, 1, 4] * 100, [0, 1, 2] * 100)
      >>> test.p_value, test.what
      (0.0005, 'mean τ of worker 2 is 4, of the others 1')

    Source: M. Friedman, "The Use of Ranks to Avoid the Assumption of Normality", 1937.
    """
    tau = _staleness(staleness)
    who = _integers("workers", workers)
    if who.shape != tau.shape:
        raise ValueError(f"workers must have the shape {tau.shape} of staleness, got {who.shape}")
    names, who = np.unique(who, return_inverse=True)
    if len(names) < 2:
        return Test(np.nan, np.nan, f"all rows are worker {names[0]}'s")
    edges = _blocks(tau)
    if isinstance(edges, str):
        return Test(np.nan, np.nan, edges)
    count, m = len(edges) - 1, len(names)
    block = np.repeat(np.arange(count), np.diff(edges))
    rank = stats.rankdata(tau)[: edges[-1]] - (len(tau) + 1) / 2
    cell = block * m + who[: edges[-1]]
    rows = np.bincount(cell, minlength=count * m).reshape(count, m)
    rng = np.random.default_rng(seed)
    # Which worker's cell each worker gets, in each block; those without rows there keep their own.
    orders = _orders(rows > 0, rng)
    present = (rows > 0).sum(axis=0)
    sums = []
    for f in (rank, np.abs(rank)):
        total = np.bincount(cell, f, minlength=count * m).reshape(count, m)
        means = np.divide(total, rows, out=np.zeros((count, m)), where=rows > 0)
        level = means.sum(axis=1, keepdims=True) / np.maximum((rows > 0).sum(axis=1, keepdims=True), 1)
        apart = np.where(rows > 0, means - level, 0.0)
        sums.append(
            [((apart[np.arange(count)[:, None], o].sum(0) ** 2) / np.maximum(present, 1)).sum() for o in orders]
        )
    table = np.array(sums)
    scale = table.std(axis=1, keepdims=True)
    standard = np.divide(table - table.mean(axis=1, keepdims=True), scale, out=np.zeros_like(table), where=scale > 0)
    largest = standard.max(axis=0)
    means = np.bincount(who, tau) / np.bincount(who)
    odd = int(np.abs(means - np.median(means)).argmax())
    what = f"mean τ of worker {names[odd]} is {means[odd]:.3g}, of the others {tau[who != odd].mean():.3g}"
    return Test(_p_value(largest[0], largest[1:]), float(largest[0]), what)


def value_dependence(staleness: Any, values: Any, *, seed: int = 0) -> Test:
    r"""Whether τ and another value of the same rows depend on each other, apart from trends: a rank correlation.

    .. math:: \rho = \operatorname{corr}(\operatorname{rank}(\tau - \operatorname{med}\tau),
       \operatorname{rank}(x - \operatorname{med}x))

    with running medians over a block. Its null shifts the values in a circle within each block, by as many rows as a
    random number says: each column keeps its own dependence, and slow changes of its spread stay where they are. The
    p-value assumes that, once trends are taken off, the law of either column given the other does not change by such a
    shift: both are stationary within a block, and mix over less than one. A loss taken at the parameters that a worker
    read is τ updates old; where it falls steeply, that alone makes it depend on τ.

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      values: shape (T,), finite real numbers, of any unit, as the losses.
      seed: of the shifts.

    Returns:
      The test; its statistic is ρ, in [-1, 1].

    Raises:
      ValueError: for no rows, other shapes, staleness that is anything but integers ≥ 0, or values that are not finite.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> tau = rng.poisson(3, 500)
      >>> test = value_dependence(tau, np.linspace(9, 1, 500) + 0.3 * tau + rng.normal(size=500))
      >>> test.p_value, test.what
      (0.0005, 'rank correlation 0.43 of τ with the values')
    """
    tau, series = _staleness(staleness), _finite("values", values)
    if series.shape != tau.shape:
        raise ValueError(f"values must have the shape {tau.shape} of staleness, got {series.shape}")
    edges = _blocks(tau)
    if isinstance(edges, str):
        return Test(np.nan, np.nan, edges)
    if np.ptp(series) == 0 or np.ptp(tau) == 0:
        return Test(1.0, 0.0, "τ or the value never varies")
    first, length = int(edges[0]), int(edges[1] - edges[0])
    columns = []
    for column in (tau.astype(float), series):
        rest = (column - ndimage.median_filter(column, size=length // 2 * 2 + 1, mode="nearest"))[first : edges[-1]]
        rank = stats.rankdata(rest) - (len(rest) + 1) / 2
        columns.append(rank / (np.linalg.norm(rank) or 1.0))
    spectra = [np.fft.rfft(column.reshape(-1, length), axis=1) for column in columns]
    shifted = np.fft.irfft(spectra[0].conj() * spectra[1], n=length, axis=1)  # what each block adds, at each shift
    rng = np.random.default_rng(seed)
    shifts = rng.integers(length, size=(PERMUTATIONS, len(shifted)))
    null = shifted[np.arange(len(shifted)), shifts].sum(axis=1)
    rho = float(columns[0] @ columns[1])
    return Test(_p_value(abs(rho), np.abs(null)), rho, f"rank correlation {rho:.2g} of τ with the values")


def _blocks(tau: np.ndarray) -> np.ndarray | str:
    """The edges of blocks of equal length, the last of which ends at most a block's rows early; or why there are none."""
    length = max(FEWEST_ROWS, int(np.ceil(CYCLES * (tau.mean() + 1)))) if len(tau) else FEWEST_ROWS
    count = min(MOST_BLOCKS, len(tau) // length)
    if count < FEWEST_BLOCKS:
        return f"too few rows: {len(tau)}, and {FEWEST_BLOCKS * length} are needed"
    return np.arange(count + 1) * (len(tau) // count)


def _orders(present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permutations of those present in each block, the first of which changes nothing; (1 + permutations, B, m)."""
    count, m = present.shape
    orders = np.tile(np.arange(m), (1 + PERMUTATIONS, count, 1))
    for b in range(count):
        here = np.flatnonzero(present[b])
        orders[1:, b, here] = rng.permuted(np.tile(here, (PERMUTATIONS, 1)), axis=1)
    return orders


def _p_value(seen: float, null: np.ndarray) -> float:
    """The share of the null, the observation included, that is as large; ties within rounding count as large."""
    return float((1 + (null >= seen - 1e-9 * abs(seen)).sum()) / (1 + len(null)))


def _finite(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must have one dimension and at least one row, got the shape {array.shape}")
    if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite real numbers")
    return array.astype(np.float64)


def _integers(name: str, values: Any) -> np.ndarray:
    if np.asarray(values).dtype.kind not in "iu":
        _finite(name, values)  # says first what is worse
        raise ValueError(f"{name} must be integers, got {np.asarray(values).dtype}")
    _finite(name, values)
    return np.asarray(values).astype(np.int64)


def _staleness(values: Any) -> np.ndarray:
    tau = _integers("staleness", values)
    if tau.min() < 0:
        raise ValueError(f"staleness must be ≥ 0, got {tau.min()}")
    return tau
