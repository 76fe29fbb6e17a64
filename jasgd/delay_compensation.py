"""Delay compensation (DC-ASGD): corrects a stale gradient by an estimate of the curvature along the way."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class DelayCompensatedState(NamedTuple):
    """State of :func:`delay_compensated`."""

    mean_square: optax.Updates  # running mean of g², in the shape of the parameters; () in the constant form


def delay_compensated(
    strength: float = 0.04, *, mean_square_decay: float | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Adds what the gradient is expected to have changed since its parameters were read.

    .. math:: u \leftarrow g + \lambda_t\, g \odot g \odot (w - w_{read})

    with :math:`\lambda_t = \lambda_0` (DC-ASGD-c), or :math:`\lambda_0 / \sqrt{m_t + 10^{-7}}` with
    :math:`m_t = \rho m_{t-1} + (1-\rho) g^2` (DC-ASGD-a). Its place is first in a chain: it needs the raw gradient.

    Args:
      strength: λ₀ ≥ 0; the source uses 0.04 (c) and 2 (a) on CIFAR-10.
      mean_square_decay: ρ in [0, 1) for the adaptive form, None for the constant one; the source uses 0.95.

    Returns:
      A transformation whose ``update(updates, state, params, *, read_params)`` takes the parameters on which the
      gradient was computed, in the structure of ``params``. The trainer hands them over since they are asked for.

    Raises:
      ValueError: for an argument out of its range; from ``update`` where ``params`` is None.

    Example:
      >>> import jax.numpy as jnp, jasgd
      >>> tx = jasgd.delay_compensated(0.5)
      >>> g, state = tx.update(jnp.float32(2), tx.init(jnp.float32(3)), jnp.float32(3), read_params=jnp.float32(2))
      >>> float(g)  # 2 + 0.5 · 2 · 2 · (3 - 2)
      4.0

    Source:
      Zheng et al., "Asynchronous stochastic gradient descent with delay compensation", ICML 2017, arXiv 1609.08326.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be a finite number ≥ 0, got {strength}")
    if mean_square_decay is not None and not 0 <= mean_square_decay < 1:
        raise ValueError(f"mean_square_decay must lie in [0, 1), got {mean_square_decay}")

    def init_fn(params: optax.Params) -> DelayCompensatedState:
        return DelayCompensatedState(() if mean_square_decay is None else optax.tree.zeros_like(params))

    def update_fn(
        updates: optax.Updates,
        state: DelayCompensatedState,
        params: optax.Params | None = None,
        *,
        read_params: optax.Params,
        **extra_args: Any,
    ) -> tuple[optax.Updates, DelayCompensatedState]:
        del extra_args
        if params is None:
            raise ValueError("delay_compensated needs the current parameters: call update(updates, state, params, ...)")
        if mean_square_decay is None:
            compensated = jax.tree.map(lambda g, w, r: g + strength * g * g * (w - r), updates, params, read_params)
            return compensated, state
        rho = mean_square_decay
        squares = jax.tree.map(lambda m, g: rho * m + (1 - rho) * g * g, state.mean_square, updates)
        compensated = jax.tree.map(
            lambda g, w, r, m: g + strength / jnp.sqrt(m + 1e-7) * g * g * (w - r),
            updates, params, read_params, squares,
        )  # fmt: skip
        return compensated, DelayCompensatedState(squares)

    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]
