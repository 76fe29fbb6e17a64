"""Runs side by side of which some diverge: each stops at its last good version, and the others go on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close, same_bits
from support.lanes import PLAIN, diverging, simulated
from support.reference_loop import follow
from support.simulations import CLUSTER, full, x64

import jasgd
from jasgd import cluster


@pytest.mark.parametrize(("lanes", "every"), [("threads", 7), ("vmap", None), full("threads", None), full("vmap", 7)])
def test_a_run_that_diverges_stops_at_its_last_good_version_and_leaves_others_alone(lanes, every):
    seeds, bad_ticket = [3, 0, 1, 4, 7], {}
    for seed, row in ((1, 0), (3, 23), (4, 38), (7, 39)):
        bad_ticket[seed] = int(cluster.generate(CLUSTER, workers=4, steps=40, seed=seed).ticket[row])
    with x64():
        params, loss_fn, by_seed = problem = diverging(bad_ticket)
        seen = []

        def evaluate(params):
            seen.append(float(params["offset"]))
            return 0.0

        options = {"problem": problem, "seeds": seeds, "lanes": lanes, "has_aux": True}
        runs = simulated(**options, evaluate=evaluate, evaluate_every_steps=every)
        calm = simulated(**options | {"problem": diverging({})}, evaluate=evaluate, evaluate_every_steps=every)
        assert np.isfinite(seen).all()
        for seed in seeds:
            run, whole = runs[seed], calm[seed].execution
            if seed not in bad_ticket:
                assert run.outcome == "finished"
                assert same_bits((run.params, run.opt_state), (calm[seed].params, calm[seed].opt_state))
                assert run.execution.hashes() == calm[seed].execution.hashes()
                continue
            row = int(np.flatnonzero(whole.ticket == bad_ticket[seed])[0])
            last, read = int(whole.version[row]), int(whole.version_read[row])
            assert run.outcome == "diverged"
            expected = f"the loss at version {read} (ticket {bad_ticket[seed]}, worker {whole.worker[row]}) is inf"
            assert run.message == expected
            good = int(whole.version_read[:row].max(initial=0))
            assert run.execution.metadata["params_version"] == good
            reference = follow(loss_fn, params, PLAIN, by_seed.of(seed), whole, has_aux=True, upto=last)
            assert_close(run.params, reference.params[good])
            assert_close(run.opt_state, reference.states[last])
            assert run.execution.commits == len(run.execution) == len(run.aux["aux"]) == last
            assert np.isfinite(run.execution.loss).all()
            np.testing.assert_allclose(run.aux["aux"], reference.aux, rtol=1e-9, atol=1e-12)
            run.execution.validate()
            run.execution.unaltered()
            told_of = run.execution.conservation()
            assert told_of["total"] == sum(told_of[k] for k in ("applied", "dropped", "in_flight", "gaps"))
            assert [one["version"] for one in run.evaluations] == [
                version for version in [*range(0, 40, every or 40), 40] if version <= last
            ]
            if seed == 3:
                again = jasgd.replay(run, loss_fn, PLAIN, by_seed.of(seed))
                assert again.compared == ("params", "opt_state")
                assert again.relative_difference < 1e-9


def test_a_round_with_one_loss_that_is_not_finite_is_not_committed():
    params, loss_fn, by_seed = diverging({0: 14})
    (run,) = simulated(problem=(params, loss_fn, by_seed), has_aux=True, scheme="synchronous", workers=3)
    assert run.outcome == "diverged"
    assert run.execution.commits == 4  # tickets 12, 13 and 14 are the fifth
    assert len(run.execution) == 12
    assert "version 4 (ticket 14, worker 2) is inf" in run.message


def test_gradients_that_are_not_finite_may_pass():
    params, loss_fn, by_seed = diverging({0: 14})

    def loss(params, batch):  # whose gradient is not finite, either
        return loss_fn(params, batch)[0] * (1.0 + jnp.where(batch["bad"], jnp.nan, 0.0) * params["offset"])

    tx = optax.apply_if_finite(optax.sgd(0.03), 5)
    runs = simulated(tx, (params, loss, by_seed), on_nonfinite="pass", seeds=[0, 1])
    assert [run.outcome for run in runs] == ["finished"] * 2
    assert not np.isfinite(runs[0].execution.loss[runs[0].execution.ticket == 14]).any()
    assert int(runs[0].opt_state.total_notfinite) == 1
    assert int(runs[1].opt_state.total_notfinite) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(runs[0].params))
    expected = follow(loss, params, tx, by_seed.of(0), runs[0].execution)
    assert_close(runs[0].params, expected.params[-1], 1e-4)
