"""TAIL-τ as the published C++ code computes it, quirk by quirk, to compare with."""

from __future__ import annotations

from typing import Any, Literal

from jasgd.inputs.checks import integer
from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown


@shown
def tail_published(
    workers: int, mode: Literal["async", "hogwild", "leashed"] = "async", amplitude: float = 1.0
) -> Rule:
    r"""TAIL-τ of the reference C++ code: :math:`C = 1 + A(1 - 2\hat F)` with that code's estimate :math:`\hat F`.

    What it does, and :func:`jasgd.rules.tail` does not: the strict distribution function; sampled once, at steps
    10n…15n, with C = 1 until then; divided by a nominal 5n, so that it saturates at 0.8 (``async``, ``hogwild``) or
    1 - 1/(5n) (``leashed``), and the mean step is 22-65 % too large in the former; a right shift where a comparison
    was meant, which sends every staleness of 128 or more to the last bin; staleness of 200 and more not counted; with
    one worker, a doubled step. The data races of its counters, and its momentum buffer per thread, are not copied.

    Args:
      workers: n ≥ 1; the rule's law is laid out for them.
      mode: which of the published programs numbers the steps.
      amplitude: A in [0, 1].

    Returns:
      The rule. It carries its own law, so ``staleness_adaptive`` refuses another.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> tx = jasgd.staleness_adaptive(tail_published(workers=1))
      >>> state = tx.init(jnp.zeros(()))
      >>> for _ in range(20):
      ...     step, state = tx.update(jnp.ones(()), state, staleness=0)
      >>> float(step)  # one worker: doubled, since the strict function is 0 at 0
      2.0

    Source:
      Bäckström, Papatriantafilou, Tsigas, "ASAP.SGD: instance-based adaptiveness to staleness in asynchronous SGD",
      ICML 2022, PMLR 162; read from its code, repository dcs-chalmers/shared-memory-sgd.
    """
    workers = integer("workers", workers, 1)
    if mode not in ("async", "hogwild", "leashed"):
        raise ValueError(f"mode must be 'async', 'hogwild' or 'leashed', got {mode!r}")
    if not 0 <= amplitude <= 1:
        raise ValueError(f"amplitude must lie in [0, 1], got {amplitude}")
    from jasgd.rules.published_table import empty_table

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        del xp
        return 1 + amplitude * (1 - 2 * law.strict_tail(staleness))

    rule.law = empty_table(workers, mode)  # type: ignore[attr-defined]
    return rule
