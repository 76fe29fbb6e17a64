"""``first_nonfinite``: the commit, or the loss, that was the first not to be finite, found by running a run again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import jax

from jasgd.core.finiteness import first_nonfinite_leaf
from jasgd.data import Batches
from jasgd.record.result import Outcome, TrainResult
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


@dataclasses.dataclass(frozen=True)
class NonFiniteLoss:
    """The gradient whose loss was not finite and ended the run; it was not committed, and all versions are finite.

    Attributes:
      version: that it was computed on; commits before the read.
      ticket: of its mini-batch.
      worker: that computed it.
      recorded: its loss in the run, such as ``"nan"``.
      loss: its loss, computed again.
      where: paths of the gradient's leaves that are not finite.
    """

    version: int
    ticket: int
    worker: int
    recorded: str
    loss: float
    where: tuple[str, ...]


def first_nonfinite(
    result: TrainResult,
    loss_fn: Any,
    tx: Any,
    batches: Batches | Iterable[Any],
    *,
    merge: Any = None,
    upto: int | None = None,
    strict: bool = True,
    device: Any = None,
) -> NonFinite | NonFiniteLoss | None:
    """What was the first not to be finite, found in one replay that looks after every commit, and at the run's end.

    Args:
      result: as of :func:`jasgd.replay`, as are the others.
      loss_fn: that of the run.
      tx: the Optax transformation.
      batches: a function of a ticket, or an iterator.
      merge: that of the run, None where it had none.
      upto: commits to look at, None for all.
      strict: as of :func:`jasgd.replay`.
      device: a jax device; None for JAX's default.

    Returns:
      The commit that made the first number that is not finite. Where every version is finite, the gradient whose loss
      ended the run, computed again; None where there is none, or the run is of before such were recorded.

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
    rerun = Rerun(result, loss_fn, tx, batches, upto=upto, strict=strict, device=device, merge=merge)

    @jax.jit
    def all_finite(tree: Any) -> Any:
        floating = [leaf for leaf in jax.tree.leaves(tree) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)]
        return jax.tree.reduce(jax.numpy.logical_and, [jax.numpy.isfinite(leaf).all() for leaf in floating], True)

    end = result.execution.metadata.get("divergence", {}) if result.outcome is Outcome.DIVERGED else {}
    loss: NonFiniteLoss | None = None
    if end.get("version_read") == 0:
        loss = _loss_again(rerun, end)
    for commit in rerun.commits():
        now = dict(zip(("params", "opt_state"), rerun.now(), strict=True))
        if commit.rows and not all_finite(now):
            where = _paths([(name, tree) for name, tree in now.items()])
            return NonFinite(commit.version, commit.rows[0], where, not all_finite(commit.grads))
        if end.get("version_read") == commit.version + 1:
            loss = _loss_again(rerun, end)
    return loss


def _loss_again(rerun: Rerun, end: dict[str, Any]) -> NonFiniteLoss:
    """The gradient that ended the run, computed again on what it was computed on."""
    loss, grads = rerun.gradient_now(end["ticket"], end["worker"])
    where = _paths([("gradient", grads)])
    return NonFiniteLoss(end["version_read"], end["ticket"], end["worker"], end["loss"], loss, where)


def _paths(trees: list[tuple[str, Any]]) -> tuple[str, ...]:
    """Of the leaves that are not finite."""
    return tuple(
        name + jax.tree_util.keystr(path)
        for name, tree in trees
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if first_nonfinite_leaf((leaf,)) is not None
    )


def ended_badly(first: NonFinite | NonFiniteLoss | None, result: TrainResult, upto: int | None = None) -> bool:
    """Whether something is not finite: what was found, or, where nothing was, what has ended a run that diverged.

    Args:
      first: what :func:`first_nonfinite` returned.
      result: the run that was searched.
      upto: commits that were looked at, None for all.

    Returns:
      Whether it is.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> loss_fn, tx = lambda w, batch: jnp.sum((w - batch) ** 2), optax.sgd(0.1)
      >>> result = jasgd.train(loss_fn, jnp.zeros(2), tx, lambda ticket: jnp.ones(2), workers=1, steps=3)
      >>> ended_badly(first_nonfinite(result, loss_fn, tx, lambda ticket: jnp.ones(2)), result)
      False
    """
    to_its_end = upto is None or upto == result.execution.commits
    return first is not None or (to_its_end and result.outcome is Outcome.DIVERGED)


def describe_nonfinite(first: NonFinite | NonFiniteLoss | None, result: TrainResult, upto: int | None = None) -> str:
    """The outcome of :func:`first_nonfinite`, in a sentence.

    Args:
      first: what it returned.
      result: the run that was searched.
      upto: commits that were looked at, None for all.

    Returns:
      The sentence.

    Example:
      >>> import jasgd, optax
      >>> result = jasgd.train(lambda w, batch: w * batch, jax.numpy.zeros(()), optax.sgd(0.1), jax.numpy.float32,
      ...                      workers=1, steps=5)
      >>> describe_nonfinite(None, result, upto=3), describe_nonfinite(None, result)
      ('every version up to 3 is finite', 'every version up to 5 is finite; the run: all 5 steps were taken')
    """
    if first is None:
        if upto is not None and not ended_badly(first, result, upto):
            return f"every version up to {upto} is finite"
        finite = f"every version up to {result.execution.commits} is finite"
        if not ended_badly(first, result):
            return f"{finite}; the run: {result.message}"
        return f"{finite} here, but the run diverged, and its record does not say at which gradient: {result.message}"
    if isinstance(first, NonFiniteLoss):
        return _describe_loss(first, result)
    ex, row = result.execution, first.row
    why = "its gradient was not finite" if first.gradient else "its gradient was finite, its update was not"
    return (
        f"commit {first.version} made numbers that are not finite in {', '.join(first.where)}: {why}\n"
        f"  worker {ex.worker[row]}, ticket {ex.ticket[row]}, staleness {ex.staleness[row]}, factor "
        f"{ex.factor[row]:.4g}, loss {ex.loss[row]:.4g}; --upto {first.version} is the last finite version"
    )


def _describe_loss(first: NonFiniteLoss, result: TrainResult) -> str:
    gradient = f"in its gradient {', '.join(first.where)} are not finite" if first.where else "its gradient is finite"
    again = f"computed again it is {first.loss}, and {gradient}"
    if math.isfinite(first.loss):
        again += "; what made it so is not in the record"
    return (
        f"the parameters of every version up to {result.execution.commits} are finite; the loss of ticket "
        f"{first.ticket} at version {first.version} (worker {first.worker}) was {first.recorded}, and ended "
        f"the run\n  {again}"
    )
