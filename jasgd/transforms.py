"""The Optax transformation that makes the step size adapt to staleness."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.inputs.checks import described
from jasgd.rules.parsing import parse_rule
from jasgd.rules.protocol import Rule, evaluate, reads_law, warms_up
from jasgd.showing import line
from jasgd.staleness import StalenessHistogram, parse_law
from jasgd.staleness_values import checked_staleness


class StalenessAdaptiveState(NamedTuple):
    """State of :func:`staleness_adaptive`."""

    law: Any  # the StalenessHistogram (or the rule's own law), a pytree of arrays
    factor: jax.Array  # C(τ) of the last update, shape (), float32


def staleness_adaptive(rule: str | Rule, law: Any = None) -> optax.GradientTransformationExtraArgs:
    r"""Scales a gradient by :math:`C(\tau)`, a step-size function of its staleness τ.

    .. math:: u \leftarrow C(\tau)\,u, \qquad \text{after } \tau \text{ has been counted into the law}

    It has no learning rate and flips no sign, so its place in the chain decides what it means:

    ========================================================  ==================================================
    ``chain(staleness_adaptive(r), sgd(lr))``                 scales the step
    ``chain(staleness_adaptive(r), sgd(lr, momentum=m))``     scales the gradient, not the momentum (as published)
    ``chain(trace(m), staleness_adaptive(r), scale(-lr))``    scales the whole step, momentum included
    ``chain(adam(lr), staleness_adaptive(r))``                scales the step; the law sees every gradient
    ``chain(staleness_adaptive(r), adam(lr))``                nearly nothing: Adam divides the factor away
    ``MultiSteps(chain(staleness_adaptive(r), ...), k)``      weighs the mean of k gradients by the last one's τ
    ``chain(staleness_adaptive(r), MultiSteps(...))``         weighs each of the k gradients by its own τ
    ========================================================  ==================================================

    τ counts commits, under ``MultiSteps`` as well, where k - 1 of k commits leave the parameters as they are: a τ of 7
    may be one change of them. TAIL and other rules that ask the law for the order alone are the same in either unit.
    For a rule of τ itself count in changes, about τ/k: ``lambda tau: rules.inverse()(tau // k)``, or a rule whose
    parameters are in the unit, as ``hinge(grace=k * b, slope=a / k)``, ``exponential(beta / k)``, ``threshold(k * r)``.
    Inside ``MultiSteps`` the law counts the τ of every k-th gradient, and ``law.updates`` and its warm-up are in
    changes. The summary of a run says how many commits a change took.

    A factor of 0 is no drop: momentum and Adam still move. ``chain(MultiSteps(...))``, ``lookahead`` and
    ``contrib.sam`` lose or refuse extra arguments; since ``staleness`` has no default they fail loudly.

    Args:
      rule: ``rule(staleness)`` or ``rule(staleness, law)``, see :mod:`jasgd.rules`; or the text of one, as on the
        command line: ``"tail:amplitude=0.5"``.
      law: how the law is measured: an empty :class:`jasgd.StalenessHistogram`, or its text: ``"window:length=256"``. By
        default a window of the last 1024 staleness values, whatever they are, or the law that the rule brings along.
        Its ``warm_up`` concerns rules that
        read the law.

    Returns:
      A transformation whose ``update(updates, state, params=None, *, staleness)`` takes τ as a keyword: a scalar
      integer ≥ 0, in updates; 0 is fresh. It scales leaves in their own dtype. A traced negative τ gives a NaN
      factor and is not counted, except that ``rules.constant()`` stays 1.

    Raises:
      TypeError: where ``rule`` is no rule or ``law`` no law; from ``update`` for a τ that is no integer.
      ValueError: where a rule with its own law is given another, or for a text that names none; from ``update`` for a
        concrete τ that is negative or above 2³¹ - 1, as which a larger traced one counts, or one that is no scalar.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))
      >>> params = jnp.zeros(2)
      >>> state = tx.init(params)
      >>> for tau in (2, 0):  # the second is fresher than what the law has seen: 1 + (1 - 2 · 1/4)
      ...     updates, state = tx.update(jnp.ones(2), state, params, staleness=tau)
      >>> updates.tolist()
      [-0.15000000596046448, -0.15000000596046448]
      >>> float(optax.tree.get(state, "factor"))
      1.5

    Source:
      Bäckström, Papatriantafilou, Tsigas, "ASAP.SGD: instance-based adaptiveness to staleness in asynchronous SGD",
      ICML 2022, PMLR 162.
    """
    if isinstance(rule, str):
        rule = parse_rule(rule)
    if isinstance(law, str):
        law = parse_law(law)
    if getattr(rule, "by_distance", False):
        raise TypeError(f"rule must be one of the staleness, got {rule!r}: it goes into jasgd.distance_adaptive(rule)")
    reads_law(rule)  # refuses what is no rule, here rather than in a traced update
    own = getattr(rule, "law", None)
    if own is not None and law is not None:
        raise ValueError("law must be None for a rule that brings its own law along, as tail_published does")
    empty = law if law is not None else own if own is not None else StalenessHistogram.window()
    if not callable(getattr(empty, "count", None)):
        raise TypeError(f"law must be a StalenessHistogram, such as StalenessHistogram.window(), got {described(law)}")
    if getattr(empty, "complete", False):
        raise TypeError(
            "law must be one that counts on, such as StalenessHistogram.window(), got a law of known values; "
            "from_staleness counts on where it is given bins"
        )
    waits = empty.warm_up if warms_up(rule) else 0

    def init_fn(params: optax.Params) -> StalenessAdaptiveState:
        del params
        # A copy, since a state may be donated, and the empty law serves every init.
        return StalenessAdaptiveState(jax.tree.map(jnp.copy, empty), jnp.ones((), jnp.float32))

    def update_fn(
        updates: optax.Updates,
        state: StalenessAdaptiveState,
        params: optax.Params | None = None,
        *,
        staleness: jax.typing.ArrayLike,
        **extra_args: Any,
    ) -> tuple[optax.Updates, StalenessAdaptiveState]:
        del params, extra_args
        tau = checked_staleness(staleness)
        measured = state.law.count(tau)
        with jax.numpy_dtype_promotion("standard"):  # formulas mix the integer τ with floats, also in strict sessions
            factor = evaluate(rule, tau, measured)
        if isinstance(factor, (int, float)) and factor == 1:
            # Known when compiled: anything computed here, be it a selection, gives XLA other fusions, thus other bits.
            return updates, StalenessAdaptiveState(measured, jnp.ones((), jnp.float32))
        factor = jnp.asarray(factor, jnp.float32)
        if factor.ndim:
            raise ValueError(f"rule must give a scalar for a scalar staleness, got shape {factor.shape}")
        if waits:
            factor = jnp.where(measured.updates > waits, factor, jnp.float32(1.0))
        valid = tau >= 0
        if isinstance(measured, StalenessHistogram):
            # This is always so, but XLA must wait for it: otherwise its CPU backend finds so many kernels ready at once
            # that it wakes a pool of threads, which takes twice as long.
            valid &= jax.tree.leaves(measured)[0][0] >= -1  # of the ring, or of the counts
        factor = jnp.where(valid, factor, jnp.float32(jnp.nan))
        scaled = jax.tree.map(lambda u: u * factor.astype(u.dtype), updates)
        return scaled, StalenessAdaptiveState(measured, factor)

    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]


class DelayCompensatedState(NamedTuple):
    """State of :func:`delay_compensated`."""

    mean_square: optax.Updates  # running mean of g², in the shape of the parameters; () in the constant form

    def __repr__(self) -> str:
        return line("DelayCompensatedState", self._asdict())


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
