"""The Optax transformation that makes the step size adapt to how far the parameters have moved since they were read."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.distances.curvature import Curvature
from jasgd.distances.law import DistanceLaw
from jasgd.distances.norms import along, distance, norm
from jasgd.distances.table import WINDOW, DistanceRule, check_distance_rule, checked_measure, parse_distance_rule
from jasgd.rules.protocol import Rule, evaluate
from jasgd.showing import line
from jasgd.staleness_values import checked_staleness

MOST_STEADIED = 2.0  # what steady=True multiplies or divides a factor by, at most
MEMORY = 4  # windows that the curvature is measured over, since its evidence is noisier than an order of distances


class DistanceAdaptiveState(NamedTuple):
    """State of :func:`distance_adaptive`."""

    law: Any  # the DistanceLaw of the last distances
    factor: jax.Array  # C(D) of the last update, shape (), float32
    steps: Any  # with measure="path" the DistanceLaw of the last step norms, else ()
    curvature: Any  # with a rule that measures it the Curvature, else ()
    debt: Any  # with steady=True by how much the sum of the factors lies below their number, shape (), float32, else ()

    def __repr__(self) -> str:
        return line("DistanceAdaptiveState", self._asdict())


def distance_adaptive(
    rule: str | Rule = "tail",
    *,
    window: int | None = None,
    measure: Literal["distance", "path"] | None = None,
    steady: bool | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Scales a gradient by :math:`C(D)`, a function of how far the parameters have moved since they were read for it.

    .. math:: u \leftarrow C(D)\,u, \qquad D = \lVert w - w_{read} \rVert

    D is the Euclidean norm over all leaves, and is counted into the law of the last ``window`` of them before the rule
    reads that law. The harm of a stale gradient grows with D² and not with its staleness: many small steps, or steps
    that undo each other, do little. Rules see D in relation to the law alone, so that no unit matters.

    ``measure="path"`` needs neither the parameters nor a copy of those that were read: it takes for D the length of
    the way, :math:`\sum_{i=1}^{\tau} \lVert u_{k-i} \rVert` with the norms of the last τ of its own updates. They are
    steps up to a factor where all that follows in the chain is a constant learning rate.

    Like :func:`jasgd.staleness_adaptive` it has no learning rate, and its place in the chain decides what it means:
    before momentum it scales the gradient, after it the whole step, and before Adam nearly nothing.

    Args:
      rule: ``rule(distance, law)`` with the law of the distances, a :class:`jasgd.distances.law.DistanceLaw`: a rank
        rule such as ``rules.tail()``, which is then TAIL by distance; a :func:`jasgd.distances.parabolas.parabola`; or
        the text of one: ``"tail"``, ``"parabola:kappa=0.5"``.
      window: number of updates whose distances the law remembers, ≥ 1; by default 64. Distances shrink in a run, so
        that a longer window holds larger ones of the past, and the mean of C is above 1.
      measure: ``"distance"``, which is the default, or ``"path"``.
      steady: whether the mean step is held at 1 while distances shrink or grow: C is multiplied by 1 + S/window, S the
        sum of 1 - C over the updates before, and 1/2 ≤ 1 + S/window ≤ 2. Over n updates the mean factor is then within
        window/n of 1, unless it would take more than these. By default it is not held.

    Returns:
      A transformation whose ``update(updates, state, params, *, read_params)`` takes the parameters on which the
      gradient was computed, and with ``measure="path"`` ``update(updates, state, params=None, *, staleness)`` its τ in
      updates. The trainer hands over what is asked for. A distance that is not finite gives a NaN factor and is not
      counted.

    Raises:
      TypeError: where ``rule`` is no rule.
      ValueError: for a text that names none, a rule that does not read the law or brings one along, another measure or
        a window out of its range; from ``update`` where ``params`` is None and the distance is measured.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> tx = optax.chain(jasgd.distance_adaptive("tail"), optax.sgd(0.1))
      >>> params = jnp.zeros(2)
      >>> state = tx.init(params)
      >>> for read in (2.0, 0.0):  # the second is nearer than what the law has seen: 1 + (1 - 2 · 1/4)
      ...     updates, state = tx.update(jnp.ones(2), state, params, read_params=jnp.full(2, read))
      >>> updates.tolist(), float(optax.tree.get(state, "factor"))
      ([-0.15000000596046448, -0.15000000596046448], 1.5)
    """
    if isinstance(rule, str):
        rule = parse_distance_rule(rule)
    if isinstance(rule, DistanceRule):
        window = rule.window if window is None else window
        measure = rule.measure if measure is None else measure  # type: ignore[assignment]
        steady = rule.steady if steady is None else steady
        rule = rule.rule
    check_distance_rule(rule)
    options = checked_measure(
        WINDOW if window is None else window,
        "distance" if measure is None else measure,
        False if steady is None else steady,
    )
    empty = DistanceLaw.window(options["window"])
    by_path, measures_bend = options["measure"] == "path", getattr(rule, "measures_bend", False)
    if by_path and measures_bend:
        raise ValueError(f"measure must be 'distance' for {rule!r}, which looks at the displacement itself, got 'path'")

    def init_fn(params: optax.Params) -> DistanceAdaptiveState:
        del params
        # A copy, since a state may be donated, and the empty law serves every init.
        law = jax.tree.map(jnp.copy, empty)
        steps = jax.tree.map(jnp.copy, empty) if by_path else ()
        curvature = Curvature.window(MEMORY * options["window"]) if measures_bend else ()
        debt = jnp.zeros((), jnp.float32) if options["steady"] else ()
        return DistanceAdaptiveState(law, jnp.ones((), jnp.float32), steps, curvature, debt)

    def scaled(
        updates: optax.Updates, state: DistanceAdaptiveState, law: DistanceLaw, apart: jax.Array, **measured: jax.Array
    ) -> tuple[optax.Updates, DistanceAdaptiveState]:
        with jax.numpy_dtype_promotion("standard"):  # as in staleness_adaptive
            factor = rule(apart, law, **measured) if measured else evaluate(rule, apart, law)
        factor = jnp.asarray(factor, jnp.float32)
        if factor.ndim:
            raise ValueError(f"rule must give a scalar for a scalar distance, got shape {factor.shape}")
        factor, debt = jnp.where(jnp.isfinite(apart), factor, jnp.float32(jnp.nan)), state.debt
        if options["steady"]:
            factor, debt = steadied(factor, debt, options["window"])
        after = state._replace(law=law, factor=factor, debt=debt)
        return jax.tree.map(lambda u: u * factor.astype(u.dtype), updates), after

    def update_by_distance(
        updates: optax.Updates,
        state: DistanceAdaptiveState,
        params: optax.Params | None = None,
        *,
        read_params: optax.Params,
        **extra_args: Any,
    ) -> tuple[optax.Updates, DistanceAdaptiveState]:
        del extra_args
        if params is None:
            raise ValueError("distance_adaptive needs the current parameters: call update(updates, state, params, ...)")
        apart = distance(params, read_params)
        return scaled(updates, state, state.law.count(apart), apart)

    def update_by_measured_distance(
        updates: optax.Updates,
        state: DistanceAdaptiveState,
        params: optax.Params | None = None,
        *,
        read_params: optax.Params,
        staleness: jax.typing.ArrayLike,
        value: jax.typing.ArrayLike,
        **extra_args: Any,
    ) -> tuple[optax.Updates, DistanceAdaptiveState]:
        del extra_args
        if params is None:
            raise ValueError("distance_adaptive needs the current parameters: call update(updates, state, params, ...)")
        apart = distance(params, read_params)
        law = state.law.count(apart)
        # Branches are computed one after the other and share nothing. Outside of them XLA's CPU backend would write
        # w - w_read to memory for both sums, and wake a pool of threads for so many kernels: it took twice the time.
        inner = jax.lax.cond(apart > 0, lambda: along(updates, params, read_params), lambda: 0 * apart)
        steep = jax.lax.cond(jnp.isfinite(inner), lambda: norm(updates), lambda: jnp.float32(jnp.nan))
        curvature = state.curvature.count(inner, steep, checked_staleness(staleness), value, apart)
        return scaled(updates, state._replace(curvature=curvature), law, apart, bend=curvature.bend)

    def update_by_path(
        updates: optax.Updates,
        state: DistanceAdaptiveState,
        params: optax.Params | None = None,
        *,
        staleness: jax.typing.ArrayLike,
        **extra_args: Any,
    ) -> tuple[optax.Updates, DistanceAdaptiveState]:
        del params, extra_args
        apart = path(state.steps, checked_staleness(staleness))
        steps, after = scaled(updates, state, state.law.count(apart), apart)
        # Not the norm of what is scaled, which would have to be written to memory for it; and in a branch, see above.
        factor = after.factor
        length = jax.lax.cond(jnp.isfinite(factor), lambda: factor * norm(updates), lambda: jnp.float32(jnp.nan))
        return steps, after._replace(steps=state.steps.count(jnp.abs(length)))

    by_distance = update_by_measured_distance if measures_bend else update_by_distance
    update_fn = update_by_path if by_path else by_distance
    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]


def steadied(factor: jax.Array, debt: jax.Array, window: int) -> tuple[jax.Array, jax.Array]:
    """A factor such that the sum of all stays near their number; both are float32 scalars.

    Args:
      factor: what the rule gives.
      debt: by how much the sum of the factors before lies below their number.
      window: updates in which a debt is paid, were the rule to give 1.

    Returns:
      The factor, and the debt after it, which one that is not finite leaves as it is.
    """
    factor = factor * (1 + debt / window)
    after = jnp.clip(debt + 1 - factor, window * (1 / MOST_STEADIED - 1), window * (MOST_STEADIED - 1))
    return factor, jnp.where(jnp.isfinite(factor), after, debt)


def path(steps: DistanceLaw, staleness: jax.Array) -> jax.Array:
    """The length of the way that the last steps make, one for each update of staleness; float32 scalar.

    Args:
      steps: ring of the last norms.
      staleness: τ in updates; where it is more than the ring remembers, the way is prolonged in proportion.

    Returns:
      The sum of the last τ norms; NaN for a negative τ.
    """
    held = jnp.minimum(steps.updates, jnp.int32(steps.length))
    asked = jnp.minimum(staleness, held)
    place = jnp.arange(steps.length, dtype=jnp.int32)
    age = (steps.updates - 1 - place) % jnp.int32(steps.length)  # 0 for the last one
    total = jnp.sum(jnp.where(age < asked, steps.support, jnp.float32(0)))
    beyond = staleness.astype(jnp.float32) / jnp.maximum(asked, 1).astype(jnp.float32)
    return jnp.where(staleness >= 0, total * beyond, jnp.float32(jnp.nan))
