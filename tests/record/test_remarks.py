"""The kind "a number in another unit than its reader thinks": accumulated gradients, laws with a bound."""

import jax.numpy as jnp
import optax
import pytest
from support.training_runs import ones, quadratic, start

import jasgd
from jasgd import StalenessHistogram, rules
from jasgd.record.remarks import state_remarks
from jasgd.report.tables import run_table

ACCUMULATED = "the parameters changed once in 4 commits (optax.MultiSteps): the staleness counts commits"


def run(tx, steps=24, workers=2, **options):
    return jasgd.train(quadratic, start(), tx, ones, workers=workers, steps=steps, **options)


def multi(k=4):
    return optax.MultiSteps(optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.05)), k)


@pytest.mark.parametrize("scheme", ["leashed", "hogwild"])
def test_a_summary_says_that_staleness_counts_commits_that_change_nothing(scheme, tmp_path):
    # Under Hogwild workers lose steps of each other's optimizer state, and so of what is accumulated.
    result = run(multi(), scheme=scheme, workers=1 if scheme == "hogwild" else 2)
    assert result.execution.commits == 24
    assert result.remarks == [ACCUMULATED]
    assert ACCUMULATED in " ".join(result.summary().split())
    table = run_table(result, "title", [])
    assert ACCUMULATED in list(table.columns[1].cells)[-2].plain
    assert jasgd.TrainResult.load(result.save(tmp_path)).remarks == [ACCUMULATED]  # by path


def test_so_it_does_wherever_the_accumulation_is_in_the_chain():
    inside = optax.chain(
        jasgd.staleness_adaptive(rules.tail()), optax.MultiSteps(optax.sgd(0.05), 4).gradient_transformation()
    )
    assert run(inside).remarks == [ACCUMULATED]
    assert run(optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.apply_every(3), optax.sgd(0.05))).remarks == [
        "gradients were accumulated (optax.apply_every): the staleness counts commits, not changes"
    ]


def test_where_every_commit_changes_the_parameters_nothing_is_said():
    assert run(multi(1)).remarks == []
    assert run(optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.adam(0.05))).remarks == []
    assert state_remarks(None, 5) == state_remarks((), 5) == []


def test_where_none_did_that_is_said():
    assert run(multi(50)).remarks == [
        "the parameters changed in none of 24 commits (optax.MultiSteps): the staleness counts commits"
    ]


def test_what_lay_beyond_the_bound_of_a_law_is_said():
    law = StalenessHistogram.window(4, bins=10)
    for tau in (3, 10, 5000, 2):
        law = law.count(tau)
    state = jasgd.staleness_adaptive(rules.tail(), law).init(jnp.ones(()))
    assert state_remarks((state,), 9) == ["50.0% of the staleness in the law lay at or beyond its bound, bins=10"]
    assert state_remarks((state._replace(law=law._replace(bins=None)),), 9) == []


def test_inside_multi_steps_the_law_counts_each_last_gradient_and_outside_every_one():
    update = {
        "inside": multi(2),
        "outside": optax.chain(
            jasgd.staleness_adaptive(rules.tail()), optax.MultiSteps(optax.sgd(0.05), 2).gradient_transformation()
        ),
    }
    seen = {}
    for name, tx in update.items():
        state = tx.init(jnp.ones(()))
        for tau in (7, 1, 9, 2):
            _, state = tx.update(jnp.ones(()), state, jnp.ones(()), staleness=tau)
        seen[name] = [tau for tau in optax.tree.get(state, "values").tolist() if tau >= 0]
    assert seen == {"inside": [1, 2], "outside": [7, 1, 9, 2]}


def test_a_rule_of_staleness_in_changes_is_the_rule_with_its_parameters_in_that_unit():
    k = 4
    for tau in range(0, 40, k):
        assert float(rules.hinge(grace=k * 2, slope=0.5 / k)(tau)) == pytest.approx(
            float(rules.hinge(grace=2, slope=0.5)(tau // k))
        )
        assert float(rules.exponential(0.3 / k)(tau)) == pytest.approx(float(rules.exponential(0.3)(tau // k)))
        assert float(rules.threshold(k * 3)(tau)) == float(rules.threshold(3)(tau // k))
