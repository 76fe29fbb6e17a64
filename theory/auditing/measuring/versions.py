"""At which versions of a run something is measured, such that its weighted mean over all has a known error."""

from __future__ import annotations

import itertools

import numpy as np

from theory.auditing.measuring.estimates import AT_EACH, Measured, enlarged

LEAST = 100  # versions, from which strata of every length can be drawn


class Plan:
    """At which versions something is measured, so that its mean with weights is known: all, or a stratified sample.

    With more versions than ``most``, they are cut into strata: single versions at the start, then stretches that grow
    in proportion to how far they are from it, up to a length, since a run may fall steeply at first, by orders of
    magnitude. From each stretch two versions are drawn with their weights; a spike that is much shorter than its
    stretch can be missed.

    Args:
      weights: of each version, ≥ 0, one of them > 0; they need not sum to 1.
      most: versions that are measured, ≥ 100.
      seed: of the draws.

    Attributes:
      versions: in rising order; one may be there twice.
      words: which they are, as a clause.

    Example:
      >>> Plan(np.array([1.0, 0.0, 3.0]), 100).words, len(Plan(np.ones(10_000), 100).versions) <= 100
      ('all 2 versions', True)
    """

    def __init__(self, weights: np.ndarray, most: int, seed: int = 0):
        self._share = weights / weights.sum()
        positive = np.flatnonzero(weights > 0)
        edges = strata(len(positive), most)
        random = np.random.default_rng(seed)
        heights = np.concatenate([[0.0], np.cumsum(self._share[positive])])
        versions, self._stratum_share, starts = [], np.diff(heights[edges]), []
        for low, high in itertools.pairwise(edges):
            starts.append(len(versions))
            if high == low + 1:
                versions.append(low)
                continue
            drawn = random.uniform(heights[low], heights[high], 2)
            versions += sorted(np.searchsorted(heights, drawn, side="right").clip(low + 1, high) - 1)
        self._starts, self.versions = np.array(starts), positive[np.array(versions)]
        self._paired = np.diff([*starts, len(versions)]) == 2
        self.words = f"all {len(positive):,} versions"
        if self._paired.any():
            self.words = f"{len(versions):,} of {len(positive):,} versions, drawn with the weights of the theorem"

    def mean(self, values: np.ndarray, variances: np.ndarray, tilt: np.ndarray | None = None) -> Measured:
        """The weighted mean over all versions, with an error that has the sampling of versions in it.

        Args:
          values: at each of ``versions``.
          variances: of each, by its mini-batches.
          tilt: of each version of the run, what its weight is to be multiplied by; the mean is of the tilted weights.

        Returns:
          The mean with its error.
        """
        if tilt is not None:
            scale = tilt[self.versions] / float(self._share @ tilt)
            values, variances = values * scale, variances * scale**2
        first, second = values[self._starts], values[self._starts + self._paired]
        of_pair = (first - second) ** 2 / 4  # the mini-batches' share is in it
        terms = self._stratum_share**2 * np.where(self._paired, of_pair, variances[self._starts])
        mean = float(self._stratum_share @ ((first + second) / 2))
        return Measured(mean, enlarged(float(terms.sum()), terms, np.where(self._paired, 1, AT_EACH - 1)))


def strata(count: int, most: int) -> list[int]:
    """The edges of the strata of a :class:`Plan`, from 0 to ``count``; those of one version cost one draw, others two.

    Args:
      count: versions, ≥ 1.
      most: draws, ≥ 100.

    Returns:
      Rising integers.

    Example:
      >>> edges = strata(5000, 100)
      >>> edges[1], edges[2], int(np.diff(edges).max()), len(strata(3, 100)) - 1
      (1, 2, 200, 3)
    """
    if count <= most:
        return list(range(count + 1))
    longest = -(-4 * count // most)
    low, high = 0.0, 1.0  # stretches as long as this share of what is before them
    best = [0, count]
    for _ in range(30):
        ratio, edges = (low + high) / 2, [0]
        while edges[-1] < count and len(edges) <= most:
            edges.append(min(count, edges[-1] + min(longest, max(1, int(edges[-1] * ratio)))))
        draws = sum(1 if b == a + 1 else 2 for a, b in itertools.pairwise(edges))
        if edges[-1] == count and draws <= most:
            best, high = edges, ratio
        else:
            low = ratio
    return best
