"""The windows of an execution: which commits lie between the read and the commit of a gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

UNIT = 2.0**-53  # relative error of one operation on doubles


def checked(
    staleness: np.ndarray, step_sizes: np.ndarray, smoothness: float, mu: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Delays cut off at the first commit, and step sizes as doubles, once both are valid.

    Args:
      staleness: τ_k, in updates.
      step_sizes: α_k ≥ 0, in [x]²/[f].
      smoothness: L, in [f]/[x]².
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]², or None.

    Returns:
      min(τ_k, k) and α_k.

    Raises:
      ValueError: for arrays of unequal length, negative or non-finite entries, or μα_k ≥ 1.

    Example:
      >>> checked(np.array([3, 0]), np.array([1.0, 2.0]), 1.0, None)[0].tolist()
      [0, 0]
    """
    tau, alpha = np.asarray(staleness), np.asarray(step_sizes, np.float64)
    if tau.shape != alpha.shape or tau.ndim != 1 or not len(tau):
        raise ValueError(f"one staleness and one step size for each commit, got shapes {tau.shape} and {alpha.shape}")
    if not np.issubdtype(tau.dtype, np.integer) or tau.min() < 0:
        raise ValueError("staleness must be integers ≥ 0")
    if not (np.isfinite(alpha).all() and alpha.min() >= 0 and smoothness > 0):
        raise ValueError("step sizes must be finite and ≥ 0, and smoothness > 0")
    if mu is not None and not (mu > 0 and mu * alpha.max() < 1):
        raise ValueError(f"mu must be > 0 and below 1 over the largest step size, got {mu}")
    return np.minimum(tau, np.arange(len(tau))), alpha


def is_in_order(tau: np.ndarray) -> bool:
    """Whether each gradient was read no earlier than the one that was committed before it."""
    return bool((np.diff(np.arange(len(tau)) - tau) >= 0).all())


def lags(tau: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """For each i ≥ 1, the commits whose window holds the i-th commit before them."""
    active = np.flatnonzero(tau >= 1)
    lag = 1
    while len(active):
        yield lag, active
        lag += 1
        active = active[tau[active] >= lag]


def window_sums(tau: np.ndarray, values: np.ndarray) -> np.ndarray:
    r"""For each commit, the sum over its window: :math:`\sum_{j\in W_k} v_j`.

    A window is cut into runs of :math:`2^p` commits, one for each binary digit of its length, so the work is
    K log τ; nothing is subtracted, so that sums of nonnegative values keep their relative accuracy.

    Args:
      tau: min(τ_k, k), in updates.
      values: v_k; float64.

    Returns:
      The sums; float64.

    Example:
      >>> window_sums(np.array([0, 1, 2, 1]), np.array([1.0, 2.0, 4.0, 8.0])).tolist()
      [0.0, 1.0, 3.0, 4.0]
    """
    sums, starts, runs = np.zeros_like(values), np.arange(len(tau)) - tau, values
    for digit in range(int(tau.max()).bit_length()):
        holders = np.flatnonzero((tau >> digit) & 1)
        sums[holders] += runs[starts[holders]]
        starts[holders] += 1 << digit
        runs = runs[: -(1 << digit)] + runs[1 << digit :]  # of the next power of two
    return sums


def reader_sums(tau: np.ndarray, values: np.ndarray) -> np.ndarray:
    r"""For each commit, the sum over the windows that it lies in: :math:`\sum_{k:\,j\in W_k} v_k`.

    The transpose of :func:`window_sums`, by the same runs, from the longest to the shortest.

    Args:
      tau: min(τ_k, k), in updates.
      values: v_k; float64.

    Returns:
      The sums; float64.

    Example:
      >>> reader_sums(np.array([0, 1, 2, 1]), np.array([1.0, 2.0, 4.0, 8.0])).tolist()
      [6.0, 4.0, 8.0, 0.0]
    """
    commits, digits = len(tau), int(tau.max()).bit_length()
    sums = np.zeros(commits)
    for digit in reversed(range(digits)):
        length = 1 << digit
        if digit + 1 < digits:  # each run of twice the length into its halves
            halves = np.zeros(commits)
            halves += sums
            halves[length:] += sums[:-length]
            sums = halves
        holders = np.flatnonzero((tau >> digit) & 1)
        starts = (np.arange(commits) - tau)[holders] + (tau[holders] & (length - 1))
        sums = sums + np.bincount(starts, values[holders], minlength=commits)
    return sums


def rounding(tau: np.ndarray, kept: np.ndarray | None, commits: int = 0) -> float:
    """Twice the relative error that rounding can have caused, by the number of operations on terms that are ≥ 0."""
    operations = 4.0 * (int(tau.max()) + 8)
    if kept is not None:  # a product over a window, or over all commits; 1 - μα is off by one unit of 1
        operations += 4.0 * (max(int(tau.max()), commits) + 2) / float(kept.min())
    # A commit lies in as many windows as reach back to it.
    return 2 * UNIT * (operations + most_readers(tau))


def most_readers(tau: np.ndarray) -> int:
    """The largest number of windows that one commit lies in."""
    ends = np.zeros(len(tau) + 1, np.int64)
    reads = np.arange(len(tau)) - tau
    np.add.at(ends, reads, 1)
    np.add.at(ends, np.arange(len(tau)), -1)
    return int(np.cumsum(ends).max(initial=0))
