"""The mean gradient of several mini-batches, computed one after another in one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Once = Callable[[Any, Any], tuple[Any, Any, Any, Any]]


class MicroBatches(NamedTuple):
    """Mini-batches of one shape, along a new leading axis of every leaf; their mean gradient is one."""

    stacked: Any


class UnequalBatches(NamedTuple):
    """Mini-batches of several shapes; their mean gradient is one."""

    parts: tuple[Any, ...]


def mean_of(once: Once, state: Any, batch: MicroBatches | UnequalBatches) -> tuple[Any, Any, Any, Any]:
    """Loss, aux and gradient over several mini-batches, traced, with the activations of one at a time in memory.

    The loss and the gradient are means; of aux floating-point leaves are, integers are added, and others are those of
    the last mini-batch. Sums are in single precision at least.

    Args:
      once: ``once(state, batch) -> (loss, aux, grads, new state)`` of one mini-batch.
      state: what the first one is given; the others are given that of the one before.
      batch: the mini-batches.

    Returns:
      What ``once`` gives of all.
    """
    if isinstance(batch, MicroBatches):
        count = len(jax.tree.leaves(batch.stacked)[0])
        like = jax.eval_shape(lambda several: once(state, jax.tree.map(lambda leaf: leaf[0], several)), batch.stacked)
        begin = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _wide(leaf.dtype)), like[:3])

        def step(carry: Any, micro: Any) -> tuple[Any, None]:
            sums, now = carry
            *parts, new = once(now, micro)
            return (_added(sums, parts), new), None

        (sums, new), _ = jax.lax.scan(step, (begin, state), batch.stacked)
        return *_mean(sums, like[:3], count), new
    sums, new, like = None, state, None
    for part in batch.parts:
        if sums is not None:  # the next begins when this one is done, so that it takes its memory
            sums, new, part = jax.lax.optimization_barrier((sums, new, part))
        *parts, new = once(new, part)
        like = jax.tree.map(jnp.asarray, tuple(parts))
        sums = jax.tree.map(lambda leaf: leaf.astype(_wide(leaf.dtype)), like) if sums is None else _added(sums, like)
    return *_mean(sums, like, len(batch.parts)), new


def _wide(dtype: Any) -> Any:
    """The dtype of a sum: at least single precision."""
    return jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else dtype


def _added(sums: Any, parts: Any) -> Any:
    """The sums with another mini-batch's parts, but of what is no number that part."""

    def added(total: Any, part: Any) -> Any:
        part = jnp.asarray(part)
        return total + part.astype(total.dtype) if jnp.issubdtype(part.dtype, jnp.number) else part

    return jax.tree.map(added, sums, tuple(parts))


def _mean(sums: Any, like: Any, count: int) -> Any:
    def mean(total: Any, part: Any) -> Any:
        is_mean = jnp.issubdtype(part.dtype, jnp.inexact)
        return (total / count).astype(part.dtype) if is_mean else total

    return jax.tree.map(mean, sums, like)
