"""Laws of the staleness as version 1 of saved runs has them, brought into the present form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jasgd.staleness_values import wide_bins


def with_present_laws(arrays: Mapping[str, np.ndarray], expected: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The leaves of a saved optimizer state with the measured laws as they are kept now.

    Version 1 kept ``weights``, one for each staleness below some bound and one for all from there on, and ``recent``,
    the ring of a window. A window keeps the ring now, and the other laws have bins for every staleness. What
    lay beyond the old bound counts as the bound, as it did.

    Args:
      arrays: the leaves by path.
      expected: those of the structure in which they are put, with their shapes.

    Returns:
      The leaves, with others in place of an old law's where the structure has a law at its path.

    Example:
      >>> old = {"law.weights": np.array([0, 2, 1]), "law.recent": np.array([1, 2, 1]), "law.updates": np.int32(3)}
      >>> sorted(with_present_laws(old, {"law.values": np.zeros(3), "law.updates": np.int32(0)}))
      ['law.updates', 'law.values']
    """
    present = dict(arrays)
    for path in arrays:
        law = path.removesuffix(".recent")
        if law == path or f"{law}.weights" not in arrays:
            continue
        if f"{law}.values" in expected:
            present[f"{law}.values"] = present.pop(path)
            del present[f"{law}.weights"]
        elif f"{law}.counts" in expected:
            del present[path]
            weights, number = present.pop(f"{law}.weights"), np.shape(expected[f"{law}.counts"])[0]
            present[f"{law}.counts"] = weights if len(weights) == number else _in_wide_bins(weights)
    return present


def _in_wide_bins(weights: np.ndarray) -> np.ndarray:
    first = wide_bins().first
    counts = np.zeros(len(first), weights.dtype)
    np.add.at(counts, np.searchsorted(first, np.arange(len(weights)), "right") - 1, weights)
    return counts
