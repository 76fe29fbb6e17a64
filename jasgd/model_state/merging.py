"""Ways to merge a worker's new model state that forget nothing, for ``merge=`` of :func:`jasgd.train`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jasgd.inputs.checks import real


def moving_averages(decay: float) -> Callable[..., Any]:
    r"""Merges moving averages as if each worker had read the published ones: no mini-batch is forgotten.

    .. math:: p' = s + \beta (p - s_r) = \beta p + (1 - \beta) b, \quad \text{as } s = \beta s_r + (1 - \beta) b

    where a worker read :math:`s_r` and made :math:`s` of it with the statistics :math:`b` of its mini-batch, and
    :math:`p` is published by then. Where nothing is stale that is :math:`s`, to the bit. Without it the worker's
    :math:`s` replaces :math:`p`, and what others have added since its read is forgotten: of the initial value there is
    still :math:`\beta^{n/(\tau+1)}` after n updates, instead of :math:`\beta^n`.

    Args:
      decay: β, the share that a moving average keeps at each update, as in ``momentum`` of Flax's BatchNorm;
        0 ≤ β < 1. With another one the averages drift, or, with one that is too large, grow.

    Returns:
      ``merge(published, new, read)`` for :func:`jasgd.train`: floating leaves as above, integers add their change,
      others are replaced.

    Raises:
      ValueError: for a decay out of its range.

    Example:
      >>> merge = moving_averages(0.9)
      >>> round(float(merge(published=jnp.float32(2.0), new=jnp.float32(1.4), read=jnp.float32(1.0))), 6)
      2.3
      >>> int(merge(published=jnp.int32(7), new=jnp.int32(6), read=jnp.int32(5)))
      8
    """
    decay = real("decay", decay, "a number in [0, 1)")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be a number in [0, 1), got {decay!r}")

    def one(published: Any, new: Any, read: Any) -> Any:
        if jnp.issubdtype(new.dtype, jnp.inexact):
            return jnp.where(published == read, new, new + decay * (published - read)).astype(new.dtype)
        return published + (new - read) if jnp.issubdtype(new.dtype, jnp.integer) else new

    def merge(published: Any, new: Any, read: Any) -> Any:
        return jax.tree.map(one, published, new, read)

    merge.__name__ = f"moving_averages({decay:g})"
    return merge


def described_merge(merge: Any) -> str:
    """How executions record ``merge``: its name; empty for the default."""
    return "" if merge is None else getattr(merge, "__name__", type(merge).__name__)
