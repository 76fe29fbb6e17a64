"""Laws of version 1 that have their counts in bins now: every weight goes into the bin of its staleness."""

import numpy as np
import pytest

from jasgd.record.earlier_laws import with_present_laws
from jasgd.staleness_values import wide_bins


@pytest.mark.parametrize(("bound", "dtype"), [(4, np.int32), (256, np.int32), (1023, np.float32)])
def test_the_weights_of_an_earlier_law_are_summed_in_the_wide_bins(bound, dtype):
    """Bins hold several values from some staleness on, so that neither their number nor one weight a bin is right."""
    bins = wide_bins()
    weights = np.random.default_rng(0).integers(0, 1000, bound + 1).astype(dtype)
    old = {"0.law.weights": weights, "0.law.recent": np.zeros(3, np.int32), "0.law.updates": np.int32(7)}
    new = with_present_laws(old, {"0.law.counts": np.zeros(len(bins.first), dtype), "0.law.updates": np.int32(0)})
    assert sorted(new) == ["0.law.counts", "0.law.updates"]
    counts = new["0.law.counts"]
    assert counts.dtype == dtype
    assert counts.tolist() == [
        sum(weights[tau] for tau in range(first, min(last, bound) + 1))
        for first, last in zip(bins.first.tolist(), bins.last.tolist(), strict=True)
    ]
    assert counts.sum() == weights.sum()


def test_a_law_that_was_made_with_as_many_bins_keeps_its_weights():
    weights = np.array([3, 0, 5, 1], np.int32)
    old = {"law.weights": weights, "law.recent": np.zeros(1, np.int32)}
    assert with_present_laws(old, {"law.counts": np.zeros(4, np.int32)})["law.counts"] is weights
