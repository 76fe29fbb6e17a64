"""TAIL-τ as the published C++ code computes it, quirk by quirk, to compare with."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.inputs.checks import integer
from jasgd.law import register_law
from jasgd.rules.protocol import Rule
from jasgd.showing import Shown
from jasgd.staleness_values import as_int32

BINS = 200  # length of the published table
SAMPLE_START, SAMPLE_STOP = 10, 15  # in steps per worker
SHIFTED = 128  # first staleness that the published right shift sends to the last bin


class _Fields(NamedTuple):
    """What the table is stored as."""

    weights: jax.Array
    updates: jax.Array
    workers: int
    mode: str
    warm_up: int


class PublishedTable(Shown, _Fields):
    """The table of the published code: one sample of the staleness, over a nominal count, never taken again.

    A step is numbered where a worker starts it, in the modes ``async`` and ``hogwild``; with every worker busy, the
    step that read version r is number r + workers - 1. In the mode ``leashed`` a step is numbered where it publishes.

    Attributes:
      weights: counts per staleness; shape (200,), int32.
      updates: gradients applied so far; shape (), int32.
      workers: n.
      mode: the published program that is followed.
      warm_up: updates during which the factor is 1.
    """

    __slots__ = ()

    def _facts(self) -> dict[str, Any]:
        return {"workers": self.workers, "mode": self.mode, "warm_up": self.warm_up, "weights": self.weights}

    def count(self, staleness: jax.typing.ArrayLike) -> PublishedTable:  # pyrefly: ignore[bad-override]
        """The table after one more applied gradient."""
        tau = as_int32(staleness)
        numbered = self.updates if self.mode == "leashed" else self.updates - tau + self.workers - 1
        sampled = (numbered > SAMPLE_START * self.workers) & (numbered < SAMPLE_STOP * self.workers)
        # The table is built when step 15n is numbered; what is still in flight then comes too late for it.
        sampled &= (self.updates < self.warm_up) & (tau >= 0)
        weights = self.weights + (jnp.arange(BINS) == jnp.where(sampled, tau, -1)).astype(jnp.int32)
        updates = jnp.where(tau >= 0, optax.safe_increment(self.updates), self.updates)
        return self._replace(weights=weights, updates=updates)

    def strict_tail(self, staleness: jax.typing.ArrayLike) -> jax.Array:
        """Counts below τ over the nominal 5n, where at most 5n - 1 can be counted, and 4n when started steps are."""
        tau = as_int32(staleness)
        place = jnp.where(tau >= SHIFTED, BINS - 1, tau)[..., None]
        below = jnp.sum(jnp.where(jnp.arange(BINS) < place, self.weights, 0), axis=-1)
        return below.astype(jnp.float32) / ((SAMPLE_STOP - SAMPLE_START) * self.workers)


register_law(PublishedTable, leaves=("weights", "updates"))


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
    # Updates applied before the table is in use: step 15n starts after 14n + 1 commits, and is published as the
    # last of 15n + 1.
    built = SAMPLE_STOP * workers + 1 if mode == "leashed" else (SAMPLE_STOP - 1) * workers + 1

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        del xp
        return 1 + amplitude * (1 - 2 * law.strict_tail(staleness))

    rule.law = PublishedTable(  # type: ignore[attr-defined]
        jnp.zeros(BINS, jnp.int32), jnp.zeros((), jnp.int32), workers, mode, built
    )
    return rule
