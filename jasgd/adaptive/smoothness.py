r"""Estimates of the smoothness L of a loss, made by a transformation while a run goes on.

L bounds how fast the gradient changes, :math:`\|\nabla f(w) - \nabla f(z)\| \le L\,\|w - z\|`. An estimator here is a
pair of functions, as Optax's transformations are. Its state has L as ``value``, which is 0 until there is an estimate.
Both estimators measure L only in the directions in which the run moves, so that it is at most the largest curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jasgd.inputs.checks import function, integer, positive
from jasgd.showing import line


class SmoothnessEstimator(NamedTuple):
    """How L is estimated.

    Attributes:
      init: ``init(params) -> state``, a named tuple of arrays with L as ``value``, shape (), float32.
      update: ``update(state, grads, params, read_params, staleness) -> state``: the raw gradient, the parameters that
        it is applied to, those that it was computed on, and its staleness, all as a transformation is given them.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any, Any, Any], Any]

    def __repr__(self) -> str:
        return line("SmoothnessEstimator", {"init": self.init, "update": self.update})


class ProbeState(NamedTuple):
    """State of :func:`probes`."""

    value: jax.Array  # L; shape (), float32
    waited: jax.Array  # commits since the last probe; shape (), int32

    def __repr__(self) -> str:
        return line("ProbeState", self._asdict())


class SecantState(NamedTuple):
    """State of :func:`secants`."""

    value: jax.Array  # L; shape (), float32
    product: jax.Array  # decaying sum of ⟨Δg, Δw⟩; shape (), float32
    square: jax.Array  # decaying sum of ‖Δw‖²; shape (), float32
    grads: Any  # the gradient before, in the shape of the parameters
    read_params: Any  # those that it was computed on

    def __repr__(self) -> str:
        return line("SecantState", self._asdict())


def probes(
    loss_fn: Callable[[Any, Any], Any], batch: Any, *, every: int = 100, keep: float = 0.5
) -> SmoothnessEstimator:
    r"""L from two gradients on a mini-batch of its own, every so many commits.

    .. math:: L \leftarrow \text{keep}\cdot L + (1 - \text{keep})\,
       \frac{\|\nabla f_B(w) - \nabla f_B(w_{read})\|}{\|w - w_{read}\|}

    Both gradients are of the same mini-batch B, so that its noise cancels. That is the very quotient that the bounds
    of convergence use L for: between the parameters of a commit and those that its gradient was computed on.

    **What it costs:** two gradients of ``batch`` every ``every`` commits, computed inside a commit: other workers wait
    for it where commits exclude each other. ``jasgd.simulate(lanes="vmap")`` computes both gradients at every commit,
    whether they are due or not.

    Args:
      loss_fn: ``loss_fn(params, batch) -> loss``, without aux, key or model state.
      batch: a mini-batch that becomes a constant of the compiled commit.
      every: commits between two probes, ≥ 1; a fresh gradient (w = w_read) is passed over.
      keep: what a probe leaves of the value before, in [0, 1).

    Returns:
      The estimator.

    Raises:
      TypeError: where ``loss_fn`` is no function.
      ValueError: for a number out of its range.

    Example:
      >>> estimator = probes(lambda w, batch: 1.5 * w**2, batch=None, every=1)
      >>> w, read = jnp.float32(1.0), jnp.float32(3.0)
      >>> state = estimator.update(estimator.init(w), 9.0, w, read, 1)
      >>> float(state.value)
      3.0
    """
    function("loss_fn", loss_fn, "params, batch")
    every = integer("every", every, 1)
    if not 0 <= keep < 1:
        raise ValueError(f"keep must lie in [0, 1), got {keep}")
    gradient = jax.grad(loss_fn)

    def init(params: Any) -> ProbeState:
        del params
        return ProbeState(jnp.zeros((), jnp.float32), jnp.full((), every, jnp.int32))

    def update(state: ProbeState, grads: Any, params: Any, read_params: Any, staleness: Any) -> ProbeState:
        del grads, staleness
        distance = norm(difference(params, read_params))

        def probe() -> ProbeState:
            change = norm(difference(gradient(params, batch), gradient(read_params, batch)))
            seen = change / distance
            value = jnp.where(state.value > 0, keep * state.value + (1 - keep) * seen, seen)
            # One that is not finite would stay in the mean.
            value = jnp.where(jnp.isfinite(seen), value, state.value)
            return ProbeState(value, jnp.ones((), jnp.int32))

        def wait() -> ProbeState:
            return ProbeState(state.value, jnp.minimum(state.waited + 1, jnp.int32(every)))

        return jax.lax.cond((state.waited >= every) & (distance > 0), probe, wait)

    return SmoothnessEstimator(init, update)


def secants(*, half_life: float = 100.0) -> SmoothnessEstimator:
    r"""L from the gradients that the run computes anyway: how they change with the parameters they are computed on.

    .. math:: L = \Big(\frac{\sum \langle g_k - g_{k-1},\, r_k - r_{k-1}\rangle}
       {\sum \|r_k - r_{k-1}\|^2}\Big)_+, \qquad r_k \text{ the parameters that } g_k \text{ was computed on}

    with sums that forget. The quotient of the norms would be many times too large, since two mini-batches' noise is in
    it; in the product that noise has the mean 0, and L comes out as the mean curvature along the way. It needs no
    further gradient.

    **What it is wrong by:** it is noisy where steps are small against the noise of a mini-batch. A gradient whose
    parameters were read right after the commit before (τ = 0) has that gradient's noise in r_k, which makes the product
    too large; it is passed over, and a run without staleness has no estimate. Where directions of large curvature
    are travelled seldom, L is too small for them.

    **What it costs:** two copies of the parameters in the state, and two sums over them at each commit.

    Args:
      half_life: commits after which a term's weight has halved, > 0.

    Returns:
      The estimator.

    Raises:
      TypeError, ValueError: for a ``half_life`` that is no number > 0.

    Example:
      >>> estimator = secants()
      >>> state = estimator.init(jnp.float32(0.0))
      >>> for w in (1.0, 3.0, 2.0):  # the gradient of 2 w² is 4 w
      ...     state = estimator.update(state, jnp.float32(4 * w), None, jnp.float32(w), 1)
      >>> float(state.value)
      4.0
    """
    rate = 2.0 ** (-1.0 / positive("half_life", half_life, unit="commits"))

    def init(params: Any) -> SecantState:
        zero, nothing = jnp.zeros((), jnp.float32), jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), params)
        return SecantState(zero, zero, zero, nothing, jax.tree.map(jnp.copy, nothing))

    def update(state: SecantState, grads: Any, params: Any, read_params: Any, staleness: Any) -> SecantState:
        del params
        moved = difference(read_params, state.read_params)
        product, square = inner(difference(grads, state.grads), moved), inner(moved, moved)
        # NaN at the first, and where a gradient is not finite, which is not to stay in the sums.
        counts = (staleness > 0) & jnp.isfinite(product) & jnp.isfinite(square)
        product = rate * state.product + jnp.where(counts, product, 0.0)
        square = rate * state.square + jnp.where(counts, square, 0.0)
        value = jnp.where(square > 0, jnp.maximum(product, 0.0) / jnp.where(square > 0, square, 1.0), 0.0)
        return SecantState(value, product, square, grads, read_params)

    return SmoothnessEstimator(init, update)


def difference(left: Any, right: Any) -> Any:
    """The first minus the second, leaf by leaf."""
    return jax.tree.map(lambda a, b: a - b, left, right)


def inner(left: Any, right: Any) -> jax.Array:
    """The inner product of two trees of arrays; float32 scalar, whatever they are of.

    Example:
      >>> float(inner({"a": jnp.ones(2), "b": jnp.ones(())}, {"a": jnp.ones(2), "b": jnp.ones(())}))
      3.0
    """

    def product(a: Any, b: Any) -> jax.Array:
        return jnp.sum(jnp.asarray(a, jnp.float32) * jnp.asarray(b, jnp.float32))

    return sum(jax.tree.leaves(jax.tree.map(product, left, right)), jnp.zeros((), jnp.float32))


def norm(tree: Any) -> jax.Array:
    """The Euclidean norm of a tree of arrays; float32 scalar."""
    return jnp.sqrt(inner(tree, tree))
