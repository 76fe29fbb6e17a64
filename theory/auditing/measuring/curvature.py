r"""Smoothness and gradient noise near some parameters, estimated from mini-batches.

.. math:: \hat L = \max|\lambda(\nabla^2 f(w))|,\qquad
   \hat\sigma^2 = \frac{1}{B-1}\sum_{b}|g_b - \bar g|^2,\qquad
   \widehat{|\nabla f|^2} = \max\big(0,\ |\bar g|^2 - \hat\sigma^2/B\big).

These are local: nothing follows for other parameters, and a network of ReLUs has no L at all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

BATCHES = 16  # gradients that σ and |∇f| are estimated from
HESSIAN_BATCHES = 4  # of them, those whose mean loss the curvature is that of
ITERATIONS = 60
CHANGE = 0.01  # relative, of the eigenvalue, at which the power iteration ends


@dataclasses.dataclass(frozen=True)
class Local:
    """Estimates of a loss near some parameters.

    Attributes:
      loss: mean over the batches, in [f].
      gradient_square: of the mean gradient, what the noise adds to it taken off; in [f]²/[x]².
      noise: σ of one mini-batch's gradient, in [f]/[x].
      smoothness: largest absolute eigenvalue of the Hessian of the mean loss over some of the batches; in [f]/[x]².
      converged: whether the power iteration settled.
      batches: how many mini-batches were used.
    """

    loss: float
    gradient_square: float
    noise: float
    smoothness: float
    converged: bool
    batches: int


class Probe:
    """Estimates of one loss over the same mini-batches, at any parameters.

    Args:
      loss_fn: ``loss_fn(params, batch) -> loss``, or ``(loss, aux)`` with ``has_aux``.
      batches: the mini-batches, at least two.
      has_aux: whether ``loss_fn`` returns aux.

    Attributes:
      gradient: loss and gradient of a mini-batch at some parameters, compiled.

    Raises:
      ValueError: for fewer than two mini-batches.

    Example:
      >>> import numpy as np
      >>> batches = [np.float32(ticket % 2) for ticket in range(16)]
      >>> probe = Probe(lambda w, b: 2 * jnp.sum((w - b) ** 2), batches)
      >>> local = probe.estimate(jnp.array([1.0]))  # f = 2(w - b)², b = 0 or 1: gradients 4 and 0, curvature 4
      >>> round(local.smoothness, 4), round(local.noise**2, 3), round(local.loss, 3)
      (4.0, 4.267, 1.0)
    """

    def __init__(self, loss_fn: Callable[..., Any], batches: Sequence[Any], *, has_aux: bool = False):
        if len(batches) < 2:
            raise ValueError(f"batches must be at least 2 mini-batches, got {len(batches)}")
        self._batches = list(batches)

        def loss_of(params: Any, batch: Any) -> jax.Array:
            out = loss_fn(params, batch)
            return out[0] if has_aux else out

        self.gradient = jax.jit(jax.value_and_grad(loss_of))

        @jax.jit
        def curvature(params: Any, batch: Any, direction: Any) -> Any:
            return jax.jvp(lambda p: jax.grad(loss_of)(p, batch), (params,), (direction,))[1]

        self._curvature = curvature

    def estimate(self, params: Any, *, curvature: bool = True) -> Local:
        """Estimates near these parameters, a pytree of floating-point arrays; smoothness is NaN without curvature."""
        params = jax.tree.map(jnp.asarray, params)
        values = [self.gradient(params, batch) for batch in self._batches]
        count = len(values)
        losses, gradients = zip(*values, strict=True)
        mean = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]) / count, *gradients)
        spread = sum(_square(jax.tree.map(jnp.subtract, g, mean)) for g in gradients) / (count - 1)
        smoothness, converged = self._largest_eigenvalue(params) if curvature else (math.nan, False)
        return Local(
            loss=sum(float(loss) for loss in losses) / count,
            gradient_square=max(0.0, _square(mean) - spread / count),
            noise=math.sqrt(spread),
            smoothness=smoothness,
            converged=converged,
            batches=count,
        )

    def _largest_eigenvalue(self, params: Any) -> tuple[float, bool]:
        some = self._batches[: min(HESSIAN_BATCHES, len(self._batches))]
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(0), len(leaves))
        drawn = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        direction = _scaled(jax.tree.unflatten(structure, drawn), 1.0)
        value = 0.0
        for _ in range(ITERATIONS):
            products = [self._curvature(params, batch, direction) for batch in some]
            image = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]) / len(parts), *products)
            before, value = value, math.sqrt(_square(image))
            if value == 0 or not math.isfinite(value):
                return value, math.isfinite(value)
            if abs(value - before) <= CHANGE * value:
                return value, True
            direction = _scaled(image, 1.0)
        return value, False


def _square(tree: Any) -> float:
    return float(sum(jnp.vdot(leaf, leaf).astype(jnp.float32) for leaf in jax.tree.leaves(tree)))


def _scaled(tree: Any, length: float) -> Any:
    norm = math.sqrt(_square(tree))
    return jax.tree.map(lambda leaf: (leaf * (length / norm)).astype(leaf.dtype), tree) if norm else tree
