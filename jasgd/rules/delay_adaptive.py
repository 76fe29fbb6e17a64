"""Step sizes that the theory of delay-adaptive SGD prescribes, as factors of the learning rate in the chain.

The sources state an absolute step size γ(τ). The factor is γ(τ) / learning_rate, so that
``optax.chain(staleness_adaptive(rule), optax.sgd(learning_rate))`` takes exactly the steps of the source.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown


@shown
def mishchenko(
    learning_rate: float,
    smoothness: float,
    workers: int,
    *,
    setting: Literal["nonconvex", "convex", "strongly_convex"] = "nonconvex",
    step_cap: float = math.inf,
    strong_convexity: float | None = None,
) -> Rule:
    r"""Delay-adaptive step sizes whose guarantee depends on the number of workers n, not on the largest delay.

    .. math::
      \gamma(\tau) = \min\{\tfrac{1}{4L(\tau+1)}, \tfrac{1}{anL}, \gamma_{cap}\},\quad a = 4 \text{ if convex, else } 2

    and for μ-strongly convex functions :math:`\min\{e^{-\mu(\tau+1)/(4nL)} / (4L(\tau+1)), \gamma_{cap}\}`. The
    source counts a fresh gradient as 1; here it is 0, hence τ + 1.

    Args:
      learning_rate: that of the optimizer that follows, > 0; the factor is γ(τ) over it.
      smoothness: L > 0.
      workers: n ≥ 1.
      setting: which of the source's theorems, 3.3, 3.1 or 3.2.
      step_cap: the source's noise term: √(Δ/(KLσ²)), B/(σ√K), or γ_max; > 0.
      strong_convexity: μ > 0, for ``"strongly_convex"`` alone.

    Returns:
      The rule.

    Raises:
      ValueError: for an argument out of its range, or a missing one.

    Example:
      >>> rule = mishchenko(learning_rate=0.1, smoothness=1.0, workers=2)
      >>> [round(float(rule(tau)), 6) for tau in (0, 1)]  # 1/4 and 1/8 over 0.1
      [2.5, 1.25]

    Source:
      Mishchenko, Bach, Even, Woodworth, "Asynchronous SGD beats minibatch SGD under arbitrary delays", NeurIPS 2022,
      arXiv 2206.07638.
    """
    rate, lipschitz = _positive("learning_rate", learning_rate), _positive("smoothness", smoothness)
    _positive("workers", workers)
    if setting not in ("nonconvex", "convex", "strongly_convex"):
        raise ValueError(f"setting must be 'nonconvex', 'convex' or 'strongly_convex', got {setting!r}")
    if not step_cap > 0:
        raise ValueError(f"step_cap must be > 0, got {step_cap}")
    if (setting == "strongly_convex") != (strong_convexity is not None):
        raise ValueError(f"strong_convexity goes with setting='strongly_convex', got {setting!r}, {strong_convexity}")

    if strong_convexity is not None:
        mu = _positive("strong_convexity", strong_convexity)

        def strongly_convex(staleness: Any, *, xp: Any = jnp) -> Any:
            delay = staleness + 1.0
            step = xp.exp(-mu / (4 * workers * lipschitz) * delay) / (4 * lipschitz * delay)
            return xp.minimum(step, step_cap) / rate

        return strongly_convex

    cap = min(1 / ((4 if setting == "convex" else 2) * workers * lipschitz), step_cap)

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        return xp.minimum(1 / (4 * lipschitz * (staleness + 1.0)), cap) / rate

    return rule


@shown
def koloskova(learning_rate: float, smoothness: float, concurrency: float, *, drop: bool = False) -> Rule:
    r""":math:`\gamma(\tau) = \eta` where :math:`\tau \le \tau_C`, else :math:`\min\{\eta, \frac{1}{4L\tau}\}`, or 0.

    Args:
      learning_rate: η > 0; the guarantee asks for η ≤ 1/(4L).
      smoothness: L > 0.
      concurrency: τ_C, the number of gradients being computed at a time, ≥ 1.
      drop: whether staler gradients get 0 instead, which the same theorem allows.

    Returns:
      The rule.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> rule = koloskova(learning_rate=0.25, smoothness=1.0, concurrency=4)
      >>> [float(rule(tau)) for tau in (0, 4, 8)]  # 1/32 over 1/4 at the last
      [1.0, 1.0, 0.125]

    Source:
      Koloskova, Stich, Jaggi, "Sharper convergence guarantees for asynchronous SGD for distributed and federated
      learning", NeurIPS 2022, arXiv 2206.08307, Theorem 8.
    """
    rate, lipschitz = _positive("learning_rate", learning_rate), _positive("smoothness", smoothness)
    if not concurrency >= 1:
        raise ValueError(f"concurrency must be ≥ 1, got {concurrency}")

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        late = 0.0 if drop else xp.minimum(1.0, 1 / (4 * lipschitz * rate * xp.maximum(staleness, 1.0)))
        return xp.where(staleness <= concurrency, 1.0, late)

    return rule


@shown
def adadelay(learning_rate: float, smoothness: float = 1.0, scale: float = 1.0) -> Rule:
    r""":math:`\gamma(t, \tau) = 1 / (L + c\sqrt{t + \tau})`: decays with the update t and, slightly, with staleness.

    Args:
      learning_rate: that of the optimizer that follows, > 0; the factor is γ over it.
      smoothness: L > 0.
      scale: c > 0.

    Returns:
      The rule; it reads the number of updates t = ``law.updates`` and nothing else of the law, so no warm-up
      concerns it.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0] * 9)
      >>> float(adadelay(learning_rate=1.0)(7, law))  # 1 / (1 + √(9 + 7))
      0.20000000298023224

    Source:
      Sra, Yu, Li, Smola, "AdaDelay: delay adaptive distributed stochastic optimization", AISTATS 2016, arXiv
      1508.05003; the form with one scale, not the per-coordinate one.
    """
    rate, lipschitz, c = (
        _positive("learning_rate", learning_rate),
        _positive("smoothness", smoothness),
        _positive("scale", scale),
    )

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        return 1 / ((lipschitz + c * xp.sqrt(1.0 * law.updates + staleness)) * rate)

    rule.warms_up = False  # type: ignore[attr-defined]
    return rule


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value}")
    return float(value)
