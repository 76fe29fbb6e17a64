"""``first_nonfinite``: the commit that made the first number that is not finite, found by running a run again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax

from jasgd.data import Batches
from jasgd.record.result import TrainResult
from jasgd.replaying.rerun import Rerun


@dataclasses.dataclass(frozen=True)
class NonFinite:
    """The first commit after which a parameter or the optimizer state is not finite.

    Attributes:
      version: commits before it; ``replay(..., upto=version)`` gives the last finite state.
      row: its first row in the execution.
      where: paths of the leaves that are not finite.
      gradient: whether its gradient was not finite; else it was the update that made numbers too large.
    """

    version: int
    row: int
    where: tuple[str, ...]
    gradient: bool


def first_nonfinite(
    result: TrainResult,
    loss_fn: Any,
    tx: Any,
    batches: Batches | Iterable[Any],
    *,
    upto: int | None = None,
    strict: bool = True,
    device: Any = None,
) -> NonFinite | None:
    """The commit that made the first number that is not finite, found in one replay that looks after every commit.

    Args:
      result: as of :func:`jasgd.replay`, as are the others.
      loss_fn: that of the run.
      tx: the Optax transformation.
      batches: a function of a ticket, or an iterator.
      upto: commits to look at, None for all.
      strict: as of :func:`jasgd.replay`.
      device: a jax device; None for JAX's default.

    Returns:
      The commit, or None where every version is finite. A run that stopped at a loss that is not finite may have had
      finite parameters to its end.

    Raises:
      ExecutionError, ReplayError, TypeError, ValueError: as :func:`jasgd.replay`.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> def loss_fn(w, batch):
      ...     return w.sum()
      >>> tx = optax.sgd(2e38)  # every gradient is 1, and two such steps are too much for float32
      >>> result = jasgd.train(loss_fn, jnp.zeros(1), tx, jnp.float32, workers=1, steps=9, throw=False)
      >>> first_nonfinite(result, loss_fn, tx, jnp.float32)
      NonFinite(version=1, row=1, where=('params',), gradient=False)
    """
    rerun = Rerun(result, loss_fn, tx, batches, upto=upto, strict=strict, device=device)

    @jax.jit
    def all_finite(tree: Any) -> Any:
        floating = [leaf for leaf in jax.tree.leaves(tree) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)]
        return jax.tree.reduce(jax.numpy.logical_and, [jax.numpy.isfinite(leaf).all() for leaf in floating], True)

    for commit in rerun.commits():
        now = dict(zip(("params", "opt_state"), rerun.now(), strict=True))
        if commit.rows and not all_finite(now):
            where = [
                name + jax.tree_util.keystr(path)
                for name, tree in now.items()
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
                if not all_finite([leaf])
            ]
            return NonFinite(commit.version, commit.rows[0], tuple(where), not all_finite(commit.grads))
    return None


def describe_nonfinite(first: NonFinite | None, result: TrainResult, upto: int | None = None) -> str:
    """The outcome of :func:`first_nonfinite`, in a sentence.

    Args:
      first: what it returned.
      result: the run that was searched.
      upto: commits that were looked at, None for all.

    Returns:
      The sentence.

    Example:
      >>> describe_nonfinite(None, result=None, upto=3)
      'every version up to 3 is finite'
    """
    if first is None:
        if upto is not None:
            return f"every version up to {upto} is finite"
        return f"every version up to {result.execution.commits} is finite; the run: {result.message}"
    ex, row = result.execution, first.row
    why = "its gradient was not finite" if first.gradient else "its gradient was finite, its update was not"
    return (
        f"commit {first.version} made numbers that are not finite in {', '.join(first.where)}: {why}\n"
        f"  worker {ex.worker[row]}, ticket {ex.ticket[row]}, staleness {ex.staleness[row]}, factor "
        f"{ex.factor[row]:.4g}, loss {ex.loss[row]:.4g}; --upto {first.version} is the last finite version"
    )
