"""The best truncated line under the bound, for a smoothness that is estimated while the run goes on."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.adaptive.smoothness import SmoothnessEstimator
from jasgd.inputs.checks import instance, positive
from jasgd.rules.lines import best_line
from jasgd.showing import line
from jasgd.transforms import StalenessAdaptiveState, staleness_adaptive


class BestLineState(NamedTuple):
    """State of :func:`best_line_adaptive`."""

    adaptive: StalenessAdaptiveState  # the law and the factor
    smoothness: Any  # of the estimator; its value is L

    def __repr__(self) -> str:
        return line("BestLineState", self._asdict())


def best_line_adaptive(
    learning_rate: float, smoothness: SmoothnessEstimator, law: Any = None
) -> optax.GradientTransformationExtraArgs:
    r"""Scales a gradient by the truncated line of τ that is best under the convergence bound, with L estimated.

    .. math:: u \leftarrow C(\tau)\,u,\qquad C(\tau) \propto (1 - \tau/\theta)_+,\quad
       \theta \text{ least in } E[C^2]\,(1 + 2L\eta\,E[\tau C])

    That is :func:`jasgd.rules.best_linear` with c = 2Lη. L is that from before the gradient, so that the factor depends
    on what was known then; until there is an estimate C = 1. Its place is first in a chain, since estimates need the
    raw gradient. In the bound it is never worse than the constant step at the same η; a run may say otherwise.

    Args:
      learning_rate: η > 0 of the optimizer that follows. Behind Adam the η of the bound has no meaning.
      smoothness: how L is estimated, :func:`jasgd.adaptive.probes` or :func:`jasgd.adaptive.secants`, each of which
        says what it costs and what it is wrong by.
      law: how the law of the staleness is measured, as of :func:`jasgd.staleness_adaptive`.

    Returns:
      A transformation whose ``update(updates, state, params, *, staleness, read_params)`` takes τ and the parameters on
      which the gradient was computed. The trainer hands them over, in native rounds too.

    Raises:
      TypeError: where ``smoothness`` is no estimator, or ``learning_rate`` no number.
      ValueError: for a ``learning_rate`` that is not > 0; from ``update`` where ``params`` is None.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> first = jasgd.adaptive.best_line_adaptive(0.1, jasgd.adaptive.secants())
      >>> tx = optax.chain(first, optax.sgd(0.1))
      >>> w = jnp.zeros(())
      >>> _, state = tx.update(jnp.ones(()), tx.init(w), w, staleness=0, read_params=w)
      >>> float(state[0].adaptive.factor)
      1.0

    Source:
      Theorem G, docs/convergence.md.
    """
    rate = positive("learning_rate", learning_rate, unit="per update")
    instance("smoothness", smoothness, SmoothnessEstimator, "call jasgd.adaptive.probes or jasgd.adaptive.secants")
    # Refuses what is no law, and knows how an empty one is made.
    empty = staleness_adaptive(lambda staleness, law: 1.0, law)

    def init_fn(params: optax.Params) -> BestLineState:
        adaptive: Any = empty.init(params)
        return BestLineState(adaptive, smoothness.init(params))

    def update_fn(
        updates: optax.Updates,
        state: BestLineState,
        params: optax.Params | None = None,
        *,
        staleness: jax.typing.ArrayLike,
        read_params: optax.Params,
        **extra_args: Any,
    ) -> tuple[optax.Updates, BestLineState]:
        del extra_args
        if params is None:
            raise ValueError(
                "best_line_adaptive needs the current parameters: call update(updates, state, params, ...)"
            )
        c = 2 * rate * state.smoothness.value
        adapted = staleness_adaptive(lambda tau, measured: best_line(measured, c)(tau), law)
        scaled, adaptive = adapted.update(updates, state.adaptive, params, staleness=staleness)  # pyrefly: ignore
        estimate = smoothness.update(state.smoothness, updates, params, read_params, jnp.asarray(staleness))
        return scaled, BestLineState(adaptive, estimate)  # pyrefly: ignore[bad-argument-type]

    # Optax's protocol for update says **extra_args, and its own transformations require some by name, as here.
    return optax.GradientTransformationExtraArgs(init_fn, update_fn)  # pyrefly: ignore[bad-argument-type]
