"""Leashed-SGD: retries, the persistence bound, and peers that stall."""

import weakref

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.core.health import EVERY, SMALL
from jasgd.testing import Interleaving, watched


def quadratic(params, batch):
    return 0.5 * jnp.sum((params - batch) ** 2)


def adaptive(rule=None):
    return optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.tail()), optax.sgd(0.1))


def conflict(persistence, *, script, steps, rule=None):
    interleaving = Interleaving(script)
    scheme = watched(jasgd.schemes.leashed(persistence=persistence), interleaving)
    result = jasgd.train(
        quadratic, jnp.zeros(4), adaptive(rule), lambda ticket: np.ones(4, np.float32), scheme=scheme, workers=2,
        steps=steps,
    )  # fmt: skip
    assert interleaving.complete
    return result


# Both read version 0, and worker 1 takes it as its base; it comes to publish when worker 0 has, and must fail once.
COLLISION = [(0, "read"), (1, "read"), (1, "base"), (0, "base"), (0, "publish"), (0, "read"), (1, "publish")]


@pytest.mark.newest
def test_with_persistence_0_a_forced_conflict_drops_and_the_law_counts_what_was_applied():
    result = conflict(0, script=[*COLLISION, (1, "lost"), (0, "base")], steps=3)
    execution = result.execution
    assert len(execution) == 3
    first = [int(getattr(execution.dropped, name)[0]) for name in ("worker", "tries", "version_read", "staleness")]
    assert first == [1, 1, 0, 1]
    assert result.metrics["dropped_contended"] == len(execution.dropped)  # others may follow the forced one
    law = result.opt_state[0].law
    assert int(law.updates) == 3
    assert law.values[:3].tolist() == execution.staleness.tolist()


# Worker 1 tries again, and publishes before worker 0 takes its next base.
SECOND_TRY = [(1, "lost"), (1, "base"), (1, "publish"), (1, "read"), (0, "base")]


def test_with_persistence_1_the_same_conflict_is_retried_with_staleness_and_step_size_computed_again():
    result = conflict(1, script=[*COLLISION, *SECOND_TRY], steps=4)
    execution = result.execution
    again = np.arange(4) == 1
    assert execution.tries[:2].tolist() == [1, 2]
    assert execution.worker[:2].tolist() == [0, 1]
    assert execution.version_read[again].tolist() == [0]
    assert execution.staleness[again].tolist() == [1]
    # The law has 0 (worker 0) and then 1: C(1) = 1 + (1 - 2 · 3/4), and not the 1 of the first attempt at τ = 0.
    assert execution.factor[again].tolist() == [0.5]
    assert int(result.opt_state[0].law.updates) == 4


def test_a_stalled_peer_blocks_nobody():
    # Worker 1 stalls with its candidate computed, while worker 0 publishes 50 times; then it tries again at once.
    script = [(0, "read"), (1, "read"), (1, "base"), *[(0, "base"), (0, "read")] * 50, (1, "publish"), *SECOND_TRY]
    execution = conflict(None, script=script, steps=60, rule=jasgd.rules.constant()).execution
    assert execution.worker[:50].tolist() == [0] * 50
    stalled = {name: int(getattr(execution, name)[50]) for name in ("worker", "version_read", "staleness", "tries")}
    assert stalled == {"worker": 1, "version_read": 0, "staleness": 50, "tries": 2}


@pytest.mark.parametrize(("size", "kept"), [(SMALL // 4, 0), (64, EVERY + 4)])
def test_the_memory_of_snapshots_is_bounded(size, kept):
    """By weak references to a leaf of every candidate; of small parameters some are kept until one is looked at."""
    alive, most = [], []

    class Tracking(jasgd.schemes.Leashed):
        def _swap(self, expected, new):
            alive.append(weakref.ref(new.params[0]))
            most.append(sum(ref() is not None for ref in list(alive[-100:])))
            return super()._swap(expected, new)

    workers = 4
    jasgd.train(
        quadratic, jnp.zeros(size), adaptive(), lambda ticket: np.float32(1), scheme=Tracking, workers=workers,
        steps=2000 if kept else 300,
    )  # fmt: skip
    # One more than the bound: train() keeps the newest view that had a finite loss, to give back if the run diverges.
    assert max(most) <= 3 * workers + 2 + kept
    assert len(most) >= (2000 if kept else 300)
