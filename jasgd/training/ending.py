"""How a run ends: with its newest snapshot, or, where that is not finite, with the newest parameters that are."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.aligned_memory import aligned_copy
from jasgd.core.compiled import Leaves
from jasgd.core.devices import putting_like
from jasgd.core.health import Health
from jasgd.core.messages import Snapshot, View
from jasgd.core.scheme import NativeScheme
from jasgd.record.result import Outcome
from jasgd.training.run import NOT_FINITE, Run


@dataclasses.dataclass(frozen=True)
class Ending:
    """What a run has come to once its workers have ended.

    Attributes:
      snapshot: its newest parameters and optimizer state; None where the scheme could not give them.
      error: why not.
      given: the parameters that the run gives back, all finite, and their version.
    """

    snapshot: Snapshot | None
    error: Exception | None
    given: View


def settle(run: Run, initial: Leaves) -> Ending:
    """Reads the newest snapshot, and makes the run a diverged one where its parameters are not finite.

    Args:
      run: the run, whose workers have ended; its outcome and message are completed.
      initial: the parameters that it began with.

    Returns:
      What it has come to.
    """
    health = run.ledger.health
    if isinstance(run.scheme, NativeScheme) and (view := run.scheme.good()) is not None:
        run.note_good(view)
    snapshot, error = None, None
    try:
        snapshot = run.scheme.snapshot()
    except Exception as raised:  # an update that failed half-way may have left nothing to read
        error = raised
        if run.outcome is not Outcome.FAILED:
            run.outcome, run.message, run.error = Outcome.FAILED, f"reading the parameters raised {error}", error
        run.message += "; the optimizer state is lost with it"
    first = health.trace(snapshot)
    if first is not None:
        _diverge(run, first.describe(run.paths()))
    if snapshot is None or first is not None or (run.outcome is Outcome.DIVERGED and run.good is not None):
        before = None if first is None else first.before
        given = _newest_finite((run.good, before), initial, health, run.ledger.first_version)
    else:
        given = View(snapshot.version, snapshot.params)
    return Ending(snapshot, error, given)


def _diverge(run: Run, text: str) -> None:
    if run.outcome in (Outcome.FINISHED, Outcome.CONVERGED) or run.message == NOT_FINITE:
        run.outcome, run.message = Outcome.DIVERGED, text
    elif run.outcome is Outcome.DIVERGED:  # by a loss, most often of these parameters
        run.message = f"{text}; {run.message}"
    else:
        run.message += f"; {text}"


def _newest_finite(candidates: tuple[Any, ...], initial: Leaves, health: Health, version: int) -> View:
    """The first of the candidates whose parameters are finite, else the initial ones; copied to memory of their own."""
    for one in candidates:
        if one is not None and one.params and health.first_bad(one.params) is None:
            put = putting_like(initial[0])
            return View(one.version, tuple(put(aligned_copy(np.asarray(leaf))) for leaf in one.params))
    return View(version, jax.tree.map(jnp.copy, initial))


def described_divergence(run: Run) -> dict[str, Any]:
    """What the record keeps of a divergence, for who looks for its cause: the commit, or the gradient with its loss."""
    first = run.ledger.health.first
    return dict(run.divergence) if first is None else first.recorded(run.paths())
