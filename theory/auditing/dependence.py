r"""Statistics of one recorded series of staleness, whose rows depend on each other.

Over any stretch the values of τ of busy workers add up to nearly (m - 1) times its length: their mean hardly varies,
and a change shows in how they spread. Rows are tied over a few cycles, of one commit of each worker, that is nearly
mean τ + 1 rows. The tests cut the series into 8 to 16 equal blocks of at least 8 cycles, and permute what is
exchangeable under the null hypothesis: blocks, or names or shifts within a block. They assume that blocks are nearly
independent. Where durations hardly vary, workers keep their order for longer than that, and there are false alarms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, signal, stats

CYCLES, FEWEST_ROWS = 8, 16  # in a block
FEWEST_BLOCKS, MOST_BLOCKS, PERMUTATIONS = 8, 16, 999


class MeanError(NamedTuple):
    """A mean, its standard error, and the number of independent values whose mean has that error."""

    mean: float
    error: float
    effective: float


class Test(NamedTuple):
    """The result of a test: a p-value in (0, 1], or NaN where ``what`` says why there is none."""

    p_value: float
    statistic: float
    what: str
    __test__ = False  # or pytest takes it for tests


def mean_with_error(values: Any) -> MeanError:
    r"""The mean of a stationary series and its standard error, by batch means.

    .. math:: e^2 = \tfrac{1}{B(B - 1)} \sum_b (\bar{x}_b - \bar{x})^2, \qquad n_e = \operatorname{var}(x) / e^2

    :math:`B = \min(30, \lfloor\sqrt{n}\rfloor)` batches: more would be shorter than the memory of the series, and
    fewer would leave their own variance uncertain. Batches are assumed to be nearly uncorrelated; e is for Student's t
    with B - 1 degrees of freedom. Where the mean is conserved, as that of τ is, it is too large rather than too small.
    (B. Schmeiser, "Batch Size Effects in the Analysis of Simulation Output", 1982.)

    Args:
      values: shape (n,), finite real numbers, of any unit; n ≥ 1.

    Returns:
      Mean, error e in the unit of the values, effective number; the last two NaN for n < 4, 0 and n for constants.

    Raises:
      ValueError: for no values, another shape, or values that are not finite.

    Example:
      >>> mean_with_error([0, 2, 1, 3])  # two batches, of means 1 and 2
      MeanError(mean=1.5, error=0.5, effective=6.666666666666667)
    """
    series = _column("values", values, "biuf")
    n, batches = len(series), min(30, int(np.sqrt(len(series))))
    if batches < 2:
        return MeanError(float(series.mean()), np.nan, np.nan)
    if np.ptp(series) == 0:
        return MeanError(float(series[0]), 0.0, float(n))
    error = series[n % batches :].reshape(batches, -1).mean(axis=1).std(ddof=1) / np.sqrt(batches)
    effective = series.var(ddof=1) / error**2 if error > 0 else np.inf
    return MeanError(float(series.mean()), float(error), float(effective))


def drift(staleness: Any, *, seed: int = 0, skip: int | None = None) -> Test:
    r"""Whether the law of τ changes in the course of the series: a CUSUM test whose null permutes blocks.

    .. math:: \max_{f, k} |\bar{f}_{\le k} - \bar{f}_{> k}| \sqrt{k (B - k) / B} \big/ \operatorname{sd}_b(\bar{f}_b)

    over k blocks and the rest, for f being τ, τ², and the shares of τ above median and 90 % quantile. A Hann window
    weights the τ of a block: what the conserved sum leaves to vary is its two ends. All f are permuted together, which
    corrects for how many they are. The p-value assumes a series that is stationary but for drift, and mixes over less
    than a block. (C. Kirch, "Block Permutation Principles for the Change Analysis of Dependent Data", 2007.)

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      seed: of the permutations.
      skip: rows of start-up to leave out, ≥ 0; None: eight cycles.

    Returns:
      The test, with what differs most between before and after.

    Raises:
      ValueError: for no rows, more than one dimension, anything but integers ≥ 0, or a negative ``skip``.

    Example:
      >>> drift([0, 1, 2, 3] * 100 + [0, 0, 3, 3] * 100, skip=0).what
      'mean τ² is 3.5 before row 400 and 4.5 after'
    """
    tau = _column("staleness", staleness)
    skip = _shortest(tau) if skip is None else skip
    if skip < 0:
        raise ValueError(f"skip must be ≥ 0, got {skip}")
    count, length, too_few = _cut(tau[skip:])
    if not count:
        return too_few
    tau = tau[skip:][: count * length]
    functions = {"mean τ": tau, "mean τ²": tau**2}
    for limit in np.quantile(tau, (0.5, 0.9), method="inverted_cdf"):
        functions[f"the share of τ > {limit}"] = tau > limit
    means = np.array([f.reshape(count, length).mean(axis=1) for f in functions.values()])
    means[0] = tau.reshape(count, length) @ (signal.windows.hann(length + 2)[1:-1] * 2 / (length + 1))
    orders = np.tile(np.arange(count), (1 + PERMUTATIONS, 1))
    orders[1:] = np.random.default_rng(seed).permuted(orders[1:], axis=1)
    k = np.arange(2, count - 1)  # at least two blocks on either side
    contrasts = np.abs(np.cumsum(_scaled(means)[:, orders], axis=2)[..., 1:-2]) * np.sqrt(count / (k * (count - k)))
    which, where = np.unravel_index(contrasts[:, 0].argmax(), (len(means), len(k)))
    name, row = list(functions)[which], k[where] * length
    before, after = functions[name][:row].mean(), functions[name][row:].mean()
    return _test(contrasts.max(axis=(0, 2)), f"{name} is {before:.3g} before row {skip + row} and {after:.3g} after")


def worker_dependence(staleness: Any, workers: Any, *, seed: int = 0) -> Test:
    r"""Whether the law of τ depends on the worker: within each block, the workers' names are permuted.

    .. math:: S_f = \sum_w B_w^{-1} \big( \sum\nolimits_b (\bar{f}_{bw} - \bar{f}_b) \big)^2

    for f the rank of τ, and its distance from the middle; :math:`\bar{f}_{bw}` is the mean of worker w in block b,
    :math:`\bar{f}_b` that of these, and :math:`B_w` the number of blocks with rows of w. The larger S counts, each
    standardised by its permutations. A name moves with all rows of a worker in a block: their dependence remains, and
    the tie of a read to the last commit, which shifts of the column would break. The p-value assumes that workers are
    exchangeable if they do not differ, and mix over less than a block. (After M. Friedman, "The Use of Ranks", 1937.)

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      workers: shape (T,), integers: the worker of each commit.
      seed: of the permutations.

    Returns:
      The test, with the worker that differs most.

    Raises:
      ValueError: for no rows, other shapes, or anything but integers, those of ``staleness`` ≥ 0.

    Example:
      >>> worker_dependence([1, 1, 4] * 100, [0, 1, 2] * 100).what
      'mean τ of worker 2 is 4, of the others 1'
    """
    tau = _column("staleness", staleness)
    committer = _column("workers", workers, like=tau)
    count, length, too_few = _cut(tau)
    if not count:
        return too_few
    tau = tau[: count * length]
    names, committer = np.unique(committer[: count * length], return_inverse=True)
    if len(names) < 2:
        return Test(np.nan, np.nan, f"all rows are of worker {names[0]}")
    cell = np.arange(len(tau)) // length * len(names) + committer
    rows = np.bincount(cell, minlength=count * len(names)).reshape(count, -1)
    present, blocks = rows > 0, np.arange(count)[:, None]
    orders = np.tile(np.arange(len(names)), (1 + PERMUTATIONS, count, 1))  # which worker gets which one's mean
    rng = np.random.default_rng(seed)
    for b in range(count):  # among those that have rows in the block
        orders[1:, b, present[b]] = rng.permuted(orders[1:, b, present[b]], axis=1)
    rank, sums, odd = stats.rankdata(tau) - (len(tau) + 1) / 2, np.zeros((2, 1 + PERMUTATIONS)), [0, 0]
    for i, f in enumerate((rank, np.abs(rank))):
        means = np.bincount(cell, f, minlength=rows.size).reshape(count, -1) / np.maximum(rows, 1)
        apart = np.where(present, means - means.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True), 0.0)
        squares = apart[blocks, orders].sum(axis=1) ** 2 / present.sum(axis=0)
        sums[i], odd[i] = squares.sum(axis=1), squares[0].argmax()
    table = _scaled(sums)
    which = table[:, 0].argmax()
    mine, (label, of) = committer == odd[which], (("mean τ", np.mean), ("standard deviation of τ", np.std))[which]
    what = f"{label} of worker {names[odd[which]]} is {of(tau[mine]):.3g}, of the others {of(tau[~mine]):.3g}"
    return _test(table.max(axis=0), what)


def independence(staleness: Any, *, seed: int = 0) -> Test:
    r"""Whether each τ is drawn on its own, clipped to the versions that there are: H0 of most convergence theorems.

    Counted are the different versions :math:`k - \tau_k` that were read. Workers read one after the other, and hardly
    ever the same version twice; independent draws leave out about as many as they take twice. The null distribution
    is that of the same values in random order.

    Args:
      staleness: τ_k of each commit in updates, shape (T,), integers ≥ 0.
      seed: of the permutations.

    Returns:
      The test, of both sides; without a p-value for fewer than 32 commits. It assumes nothing beyond H0.

    Raises:
      ValueError: for an empty series, or what is no series of staleness.

    Example:
      >>> independence(np.full(200, 3)).p_value  # always the same is as if it had been drawn
      1.0
      >>> test = independence(np.tile([0, 1], 200))  # every other version is read twice, by turns
      >>> test.p_value, test.what
      (0.01, '399 commits read 200 different versions, 289 to 311 were they independent')
    """
    tau = _column("staleness", staleness)
    skipped = min(int(tau.max()), len(tau) // 4)  # where delays are clipped
    tau = tau[skipped:]
    count = len(tau)
    if count < 2 * FEWEST_ROWS:
        return Test(float("nan"), float("nan"), f"{count} commits are too few; {2 * FEWEST_ROWS} are needed")
    shifted_rows = np.arange(count) + int(tau.max())  # so that no version is negative

    def versions(order: np.ndarray) -> int:
        return int(np.count_nonzero(np.bincount(shifted_rows - order)))

    observed, rng = versions(tau), np.random.default_rng(seed)
    null = np.array([versions(rng.permutation(tau)) for _ in range(199)])
    above, below = np.sum(null >= observed), np.sum(null <= observed)
    p_value = min(1.0, 2 * (1 + int(min(above, below))) / (1 + len(null)))
    low, high = np.quantile(null, [0.025, 0.975])
    what = f"{count} commits read {observed} different versions, {low:.0f} to {high:.0f} were they independent"
    return Test(p_value, float(observed), what)


def value_dependence(staleness: Any, values: Any, *, seed: int = 0) -> Test:
    r"""Whether τ and another value of its row depend on each other apart from trends: a rank correlation.

    .. math:: \rho = \operatorname{corr}(\operatorname{rank}(\tau - \tilde{\tau}), \operatorname{rank}(x - \tilde{x}))

    less the running medians over 8 cycles. The null shifts the values in a circle within each block, each by a random
    number of rows: either column keeps its own dependence, and slow changes of its spread stay where they are. The
    p-value assumes that the columns, without their trends, are stationary in a block, and mix over less than one. A
    loss at the parameters that were read is τ updates old: where it falls steeply, that alone makes it depend on τ.

    Args:
      staleness: shape (T,), integers ≥ 0, in updates, in the order of commits.
      values: shape (T,), finite real numbers, of any unit, as the losses.
      seed: of the shifts.

    Returns:
      The test; its statistic is ρ without its sign, and ``what`` has it with.

    Raises:
      ValueError: for no rows, other shapes, staleness that is anything but integers ≥ 0, or values that are not finite.

    Example:
      >>> tau = np.random.default_rng(0).poisson(3, 500)
      >>> value_dependence(tau, 0.1 * tau + np.linspace(9, 1, 500)).p_value
      0.001
    """
    tau = _column("staleness", staleness)
    series = _column("values", values, "biuf", tau)
    half = _shortest(tau) // 2
    count, length, too_few = _cut(tau[half:-half])  # a running median lags a trend at either end
    if not count:
        return too_few
    spectra = []
    for column in (tau.astype(float), series):
        rest = column - ndimage.median_filter(column, size=2 * half + 1, mode="nearest")
        rank = stats.rankdata(rest[half:][: count * length]) - (count * length + 1) / 2
        spectra.append(np.fft.rfft((rank / (np.linalg.norm(rank) or 1.0)).reshape(count, length)))
    shifted = np.fft.irfft(spectra[0].conj() * spectra[1], n=length)  # what each block adds to ρ, at each shift
    shifts = np.random.default_rng(seed).integers(length, size=(1 + PERMUTATIONS, count))
    shifts[0] = 0
    rhos = shifted[np.arange(count), shifts].sum(axis=1)
    return _test(np.abs(rhos), f"rank correlation {rhos[0]:.2g} of τ with the values")


def _scaled(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and deviation 1; 0 where the deviation is but rounding."""
    apart, by = rows - rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    return np.divide(apart, by, out=np.zeros_like(apart), where=by > 1e-9 * rows.max(axis=1, keepdims=True))


def _test(statistics: np.ndarray, what: str) -> Test:
    """The result of a permutation test: the first statistic is the observed one; near ties count as large."""
    seen = float(statistics[0])
    return Test(float(np.mean(statistics >= seen - 1e-9 * abs(seen))), seen, what)


def _shortest(tau: np.ndarray) -> int:
    return max(FEWEST_ROWS, int(np.ceil(CYCLES * (np.mean(tau) + 1))))


def _cut(tau: np.ndarray) -> tuple[int, int, Test]:
    """Number and length of blocks, and what to say where there are too few rows and the number is 0."""
    shortest = _shortest(tau) if len(tau) else FEWEST_ROWS
    count = 0 if len(tau) < (needed := FEWEST_BLOCKS * shortest) else min(MOST_BLOCKS, len(tau) // shortest)
    return count, len(tau) // max(count, 1), Test(np.nan, np.nan, f"{len(tau)} rows are too few; {needed} are needed")


def _column(name: str, values: Any, kinds: str = "iu", like: np.ndarray | None = None) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or (like is not None and array.shape != like.shape):
        raise ValueError(f"{name} must have the shape (n,), n ≥ 1 and the same for all, got {array.shape}")
    if array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise ValueError(f"{name} must be {'finite numbers' if 'f' in kinds else 'integers'}, got {array.dtype}")
    if name == "staleness" and array.min() < 0:
        raise ValueError(f"staleness must be ≥ 0, got {array.min()}")
    return array.astype(np.float64 if "f" in kinds else np.int64)
