"""An execution as one compiled scan: gradients wait in slots, and no Python runs between two updates."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.compiling.shared_runs import with_tx
from jasgd.compiling.weak_functions import WeakFunction
from jasgd.core.compiled import Asked, Compiled, Leaves
from jasgd.simulating.schedule import NOTHING, Schedule


class Carry(NamedTuple):
    """The state that one step of the scan hands to the next."""

    params: Leaves  # with those of the model state
    state: Leaves
    grads: Leaves  # of the gradients that wait, [slots + 1, ...]; the last one is for steps that compute nothing
    losses: jax.Array  # theirs, [slots + 1]
    reads: Leaves  # the parameters that they were computed on, where the transformation asks for them; else ()


class Steps(NamedTuple):
    """The inputs of the scan's steps; arrays over steps."""

    commits: Any  # bool
    commit_slot: Any
    staleness: Any
    gradients: Any
    worker: Any  # of the gradient that is committed
    computes: Any  # bool
    slot: Any
    fresh: Any
    batch: Any  # as ScanBatches.draw gives it


class StepOutputs(NamedTuple):
    """The outputs of the scan's steps; arrays over steps."""

    loss: Any
    aux: Any
    factor: Any


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled scan of a training problem, for any execution, step size and seed.

    Attributes:
      compiled: the functions of the problem.
      tx: the transformation as a function of a step size, or of a pytree of numbers; None where it takes none, and is
        that of ``compiled``.
      take: ``take(shared, batch) -> batch``, traced: the mini-batch of a step; see ``ScanBatches``.

    Programs of the same functions share their compiled scans, see :meth:`jasgd.core.compiled.Compiled.shared`.
    """

    compiled: Compiled
    tx: Callable[[Any], Any] | None
    take: Callable[[Any, Any], Any]

    def begin(self, params: Leaves, state: Leaves, slots: int) -> Carry:
        """The carry of the first step; its arrays are its own, so that they may be donated.

        Args:
          params: leaves of the initial parameters, and of the model state behind them.
          state: leaves of the initial optimizer state.
          slots: as of the schedule.

        Returns:
          The carry.
        """
        like = tuple(jax.ShapeDtypeStruct(g.shape, g.dtype) for g in self.compiled.gradient_like(params))
        reads = self.compiled.parted(params)[0] if self.compiled.wants_read_params else ()
        return _begin(params, state, slots, like, tuple(jax.ShapeDtypeStruct(r.shape, r.dtype) for r in reads))

    def init(self, params: Leaves, step_size: Any) -> Leaves:
        """Leaves of the optimizer state that a step size begins with."""
        leaves = jax.tree.leaves(self._with(step_size).tx.init(self.compiled.params_of(params)))
        return tuple(jnp.array(leaf, dtype=jnp.result_type(leaf)) for leaf in leaves)  # no weak types, as in admit

    @functools.cached_property
    def run(self) -> Callable[..., tuple[Carry, StepOutputs]]:
        """The compiled scan, ``run(carry, shared, steps, step_size, grouped=…) -> (carry, outputs)``.

        The carry is donated. ``grouped`` is static: whether several gradients may share a commit.
        """
        return self._shared("run", lambda program: jax.jit(program._scan, static_argnames="grouped", donate_argnums=0))

    @functools.cached_property
    def run_lanes(self) -> Callable[..., tuple[Carry, StepOutputs]]:
        """Like :attr:`run`, over a leading axis of carry, steps and step size."""
        return self._shared(
            "run_lanes", lambda program: jax.jit(program._scan_lanes, static_argnames="grouped", donate_argnums=0)
        )

    def _shared(self, name: str, make: Callable[[Program], Any]) -> Any:
        """A compiled scan that programs of the same functions share; it is made of one that does not hold them."""

        def of(compiled: Compiled) -> Any:
            tx = self.tx if compiled is self.compiled or self.tx is None else WeakFunction(self.tx)
            return make(Program(compiled, tx, self.take))

        return self.compiled.shared((name, self.take), of)

    def _scan_lanes(
        self, carry: Carry, shared: Any, steps: Steps, step_size: Any, *, grouped: bool
    ) -> tuple[Carry, StepOutputs]:
        one = functools.partial(self._scan, grouped=grouped)
        return jax.vmap(one, in_axes=(0, None, 0, 0))(carry, shared, steps, step_size)

    def _with(self, step_size: Any) -> Compiled:
        return self.compiled if self.tx is None else with_tx(self.compiled, self.tx(step_size))

    def _scan(
        self, carry: Carry, shared: Any, steps: Steps, step_size: Any, *, grouped: bool
    ) -> tuple[Carry, StepOutputs]:
        compiled = self._with(step_size)

        def step(carry: Carry, now: Steps) -> tuple[Carry, StepOutputs]:
            def gradient(params: Leaves) -> Any:
                return compiled.gradient(params, self.take(shared, now.batch))

            shapes = jax.eval_shape(gradient, carry.params)
            carry, factor = _commit(compiled, carry, now, grouped, shapes[0].dtype)
            return _compute(compiled, carry, now, grouped, gradient, shapes, factor)

        return jax.lax.scan(step, carry, steps)


def steps_of(plan: Schedule, start: int, stop: int, length: int, batch: Any) -> Steps:
    """The steps start … stop of a schedule, filled up to ``length`` with steps that do nothing.

    Args:
      plan: the schedule.
      start: the first step.
      stop: after the last one; at most ``start + length``.
      length: number of steps in all, those that do nothing included.
      batch: of ``ScanBatches.draw`` for the tickets of these steps, of ``length`` already.

    Returns:
      The steps; int32 and bool.
    """

    def filled(column: np.ndarray, value: Any) -> np.ndarray:
        rest = np.full(length - (stop - start), value, column.dtype)
        return np.concatenate([column[start:stop], rest])

    commit_slot = filled(plan.commit_slot, NOTHING)
    version = filled(plan.version, NOTHING)
    row = filled(plan.row, NOTHING)
    return Steps(
        commits=version != NOTHING,
        commit_slot=np.maximum(commit_slot, 0),
        staleness=filled(plan.staleness, 0),
        gradients=filled(plan.gradients, 1),
        worker=filled(plan.commit_worker, NOTHING),
        computes=row != NOTHING,
        slot=np.where(row == NOTHING, plan.slots, filled(plan.slot, NOTHING)).astype(np.int32),
        fresh=filled(plan.fresh, True),
        batch=batch,
    )


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _begin(params: Leaves, state: Leaves, slots: int, grads: Leaves, reads: Leaves) -> Carry:
    """The first carry; ``grads`` and ``reads`` are shapes of one slot's."""
    empty, no_reads = (
        tuple(jnp.zeros((slots + 1, *leaf.shape), leaf.dtype) for leaf in part) for part in (grads, reads)
    )
    return Carry(
        tuple(map(jnp.copy, params)),
        tuple(map(jnp.copy, state)),
        empty,
        jnp.zeros(slots + 1, jnp.result_type(float)),
        no_reads,
    )


def _commit(compiled: Compiled, carry: Carry, now: Steps, grouped: bool, dtype: Any) -> tuple[Carry, jax.Array]:
    """Applies the waiting gradient of this step's commit; where the step has no commit, nothing changes.

    All within a branch, or else XLA would slice the gradient out anew for each of its uses, also after the next
    filling of its slot, and for that copy all slots in every step, as soon as the optimizer has moments.
    """

    def commit() -> tuple[Leaves, Leaves, jax.Array]:
        grads, read = jax.tree.map(lambda leaf: _at(leaf, now.commit_slot), (carry.grads, carry.reads))
        loss = carry.losses[now.commit_slot]
        if grouped:
            pairs = zip(compiled.combining, grads, strict=True)
            grads = tuple(g / now.gradients.astype(g.dtype) if how == "mean" else g for how, g in pairs)
            loss = loss / now.gradients.astype(loss.dtype)
        loss = loss.astype(dtype)  # that of the loss, as the trainer passes it to the transformation
        asked = Asked(read, now.worker) if compiled.wants_worker else read
        params, state, factor = compiled.traced_apply(carry.params, carry.state, grads, now.staleness, loss, asked)
        return params, state, factor.astype(jnp.float32)

    nothing = carry.params, carry.state, jnp.ones((), jnp.float32)
    params, state, factor = jax.lax.cond(now.commits, commit, lambda: nothing)
    return carry._replace(params=params, state=state), factor


def _compute(
    compiled: Compiled,
    carry: Carry,
    now: Steps,
    grouped: bool,
    gradient: Callable[[Leaves], Any],
    shapes: Any,
    factor: jax.Array,
) -> tuple[Carry, StepOutputs]:
    """Computes a gradient on the newest parameters and puts it into its slot."""
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    loss, aux, grads = jax.lax.cond(now.computes, lambda: gradient(carry.params), lambda: nothing)
    waiting = loss.astype(carry.losses.dtype)
    if grouped:
        three = zip(compiled.combining, carry.grads, grads, strict=True)
        grads = tuple(
            g if how == "last" else jnp.where(now.fresh, g, _at(slots, now.slot) + g) for how, slots, g in three
        )
        waiting = jnp.where(now.fresh, waiting, carry.losses[now.slot] + waiting)
    carry = carry._replace(
        grads=_put(carry.grads, grads, now.slot),
        losses=carry.losses.at[now.slot].set(waiting),
        reads=_put(carry.reads, compiled.parted(carry.params)[0], now.slot) if carry.reads else (),
    )
    return carry, StepOutputs(loss.astype(jnp.float32), aux, factor)


def _at(slots: jax.Array, index: Any) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(slots, index, keepdims=False)


def _put(slots: Leaves, values: Leaves, index: Any) -> Leaves:
    pairs = zip(slots, values, strict=True)
    return tuple(jax.lax.dynamic_update_index_in_dim(slot, value, index, 0) for slot, value in pairs)
