"""Step sizes that know the worker, for data that differ between workers: a law of its own, or a step by its speed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.inputs.checks import integer, positive
from jasgd.rules.parsing import parse_rule
from jasgd.rules.protocol import Rule
from jasgd.showing import line
from jasgd.staleness import StalenessHistogram
from jasgd.transforms import StalenessAdaptiveState, staleness_adaptive


class PerWorkerState(NamedTuple):
    """State of :func:`per_worker`."""

    adaptive: StalenessAdaptiveState  # the laws, with a first axis of workers + 1, and the last factor

    def __repr__(self) -> str:
        return line("PerWorkerState", self._asdict())


class WorkerRescaledState(NamedTuple):
    """State of :func:`worker_rescaled`."""

    counts: jax.Array  # commits of each worker; shape (workers,), float32
    adaptive: StalenessAdaptiveState  # the last factor; its law is empty

    def __repr__(self) -> str:
        return line("WorkerRescaledState", self._asdict())


def per_worker(rule: str | Rule, workers: int, law: Any = None) -> optax.GradientTransformationExtraArgs:
    r"""Scales a gradient by a function of its staleness among those of the same worker.

    .. math:: u \leftarrow C(\tau)\,u, \qquad C \text{ under the law of the worker that computed } u

    Under one law of all, a rule such as TAIL-τ gives a slow worker small factors and a fast one large ones. Where each
    worker has data of its own, a slow worker then moves the parameters less than under plain asynchronous SGD. With a
    law of its own, E[C | worker] = 1: each worker's share stays what it was, and the factor tells its fresh gradients
    from its stale ones. A worker that is always equally stale then has C = 1, so where data do not differ one law of
    all workers adapts more.

    Args:
      rule: as of :func:`jasgd.staleness_adaptive`; one that reads the law, or else nothing is by worker.
      workers: how many there are, ≥ 1. The gradient of a worker beyond them gets a NaN factor.
      law: how each law is measured; by default a window of the worker's last 256 staleness values.

    Returns:
      A transformation whose ``update(updates, state, params=None, *, staleness, worker)`` takes τ, and the worker's
      index as an integer; -1, the mean of several workers' gradients, has a law of its own. Native rounds do not know
      the worker, so runs with it are not native.

    Raises:
      TypeError: where ``rule`` is no rule or ``law`` no law.
      ValueError: for ``workers`` out of its range, or a rule that brings its own law.

    Example:
      >>> import jax.numpy as jnp, jasgd
      >>> tx = jasgd.adaptive.per_worker("tail", workers=2)
      >>> state = tx.init(jnp.zeros(()))
      >>> for worker, tau in ((0, 9), (1, 2), (1, 1)):  # the last is the fresher one of worker 1's two
      ...     step, state = tx.update(jnp.ones(()), state, staleness=tau, worker=worker)
      >>> float(step)
      1.5
    """
    workers = integer("workers", workers, 1)
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    if getattr(rule, "law", None) is not None:
        raise ValueError("rule must be one without a law of its own, which is of all workers, as tail_published has")
    inner = staleness_adaptive(rule, StalenessHistogram.window(256) if law is None else law)

    def init_fn(params: optax.Params) -> PerWorkerState:
        one: Any = inner.init(params)
        laws = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], workers + 1, axis=0), one.law)
        return PerWorkerState(StalenessAdaptiveState(laws, one.factor))

    def update_fn(
        updates: optax.Updates,
        state: PerWorkerState,
        params: optax.Params | None = None,
        *,
        staleness: jax.typing.ArrayLike,
        worker: jax.typing.ArrayLike,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PerWorkerState]:
        del extra_args
        worker = jnp.asarray(worker, jnp.int32)
        place = jnp.where(worker < 0, workers, jnp.minimum(worker, workers))
        own = jax.tree.map(lambda leaf: leaf[place], state.adaptive.law)
        before: Any = StalenessAdaptiveState(own, state.adaptive.factor)
        scaled, after = inner.update(updates, before, params, staleness=staleness)  # pyrefly: ignore
        laws = jax.tree.map(lambda leaf, new: leaf.at[place].set(new), state.adaptive.law, after.law)  # pyrefly: ignore
        known = jnp.where(worker < workers, jnp.float32(1.0), jnp.float32(jnp.nan))
        scaled = jax.tree.map(lambda u: u * known.astype(u.dtype), scaled)
        return scaled, PerWorkerState(StalenessAdaptiveState(laws, after.factor * known))  # pyrefly: ignore

    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]


def worker_rescaled(workers: int, *, half_life: float | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Scales a gradient by how seldom its worker commits, so that all workers move the parameters by equal shares.

    .. math:: u \leftarrow \frac{u}{m\,q_w},\qquad q_w \text{ the worker's share of the commits, } m \text{ workers}

    Plain asynchronous SGD minimises a mean of the workers' losses in which a fast worker counts more. This gives each
    the same sum of step sizes; the mean factor over the commits stays 1. m is the number of workers seen so far. Where
    each worker's computing time is constant and none waits, 1/q_w is in proportion to that time, which is the step size
    of Rescaled ASGD. Commits are counted, and no clock is read, so that the run can be replayed.

    A worker n times slower than most gets steps n times as large: choose the learning rate for its steps. Chained with
    :func:`jasgd.staleness_adaptive`, the recorded factor is that of the first of both.

    Args:
      workers: how many there are, ≥ 1. The gradient of a worker beyond them gets a NaN factor.
      half_life: commits of the run after which one counts half, > 0, where speeds change; a worker whose share has
        fallen below 2⁻¹⁰ is left out of m until it commits again. By default all count alike.

    Returns:
      A transformation whose ``update(updates, state, params=None, *, worker)`` takes the worker's index as an integer;
      -1, the mean of several workers' gradients, is not counted and gets 1. Native rounds do not know the worker, so
      runs with it are not native.

    Raises:
      TypeError, ValueError: for an argument out of its range.

    Example:
      >>> import jax.numpy as jnp, jasgd
      >>> tx = jasgd.adaptive.worker_rescaled(workers=2)
      >>> state = tx.init(jnp.zeros(()))
      >>> for worker in (0, 0, 0, 1):  # the last one has a quarter of the commits, where an equal share is half
      ...     step, state = tx.update(jnp.ones(()), state, worker=worker)
      >>> float(step)
      2.0

    Source:
      Mahran, Maranjyan, Richtárik, "Rescaled asynchronous SGD: optimal distributed optimization under data and system
      heterogeneity", 2026, arXiv 2605.13434: the principle, steps in proportion to computing times, is read from its
      abstract; counting commits in place of times is ours.
    """
    workers = integer("workers", workers, 1)
    rate = 1.0 if half_life is None else 2.0 ** (-1.0 / positive("half_life", half_life, unit="commits"))
    least = 0.0 if half_life is None else 2.0**-10

    def init_fn(params: optax.Params) -> WorkerRescaledState:
        del params
        return WorkerRescaledState(
            jnp.zeros(workers, jnp.float32), StalenessAdaptiveState((), jnp.ones((), jnp.float32))
        )

    def update_fn(
        updates: optax.Updates,
        state: WorkerRescaledState,
        params: optax.Params | None = None,
        *,
        worker: jax.typing.ArrayLike,
        **extra_args: Any,
    ) -> tuple[optax.Updates, WorkerRescaledState]:
        del params, extra_args
        worker = jnp.asarray(worker, jnp.int32)
        is_own = jnp.arange(workers) == worker
        counts = jnp.where(worker < 0, state.counts, state.counts * jnp.float32(rate) + is_own)
        # Beyond 2²⁴ a count in float32 stays as it is; halved, all shares stay and it goes on.
        counts = jnp.where(jnp.max(counts) >= 2.0**23, counts / 2, counts)
        seen = counts > least * jnp.sum(counts)
        own, total = jnp.sum(jnp.where(is_own, counts, 0.0)), jnp.sum(jnp.where(seen, counts, 0.0))
        factor = jnp.where(own > 0, total / (jnp.sum(seen) * jnp.where(own > 0, own, 1.0)), jnp.nan)
        factor = jnp.where(worker < 0, 1.0, factor).astype(jnp.float32)
        scaled = jax.tree.map(lambda u: u * factor.astype(u.dtype), updates)
        return scaled, WorkerRescaledState(counts, StalenessAdaptiveState((), factor))

    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]
