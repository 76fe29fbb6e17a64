"""Texts of the command line in Python: wherever a name is taken, its options are as well, with the same spelling.

The kind of fault: a text that one door takes and another does not.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import Cluster, cluster, rules, schemes
from jasgd.experiments.recipe import transformation
from jasgd.rules.parsing import parse_rule
from jasgd.schemes.factories import as_factory, parse_scheme

SCHEMES = {
    "sequential": "sequential",
    "synchronous:native=false": "synchronous(native=False)",
    "locked:reading=reference": "locked(reading='reference')",
    " hogwild : max_staleness = 8 ": "hogwild(max_staleness=8)",
    "leashed:persistence=3,max_staleness=none": "leashed(persistence=3)",
}


def loss_fn(params, batch):
    return jnp.mean((params - batch) ** 2)


def train(scheme):
    tx = jasgd.staleness_adaptive("inverse")
    return jasgd.train(
        loss_fn, jnp.zeros(2), optax.chain(tx, optax.sgd(0.1)), lambda ticket: np.ones(2, np.float32), workers=1,
        steps=2, scheme=scheme,
    )  # fmt: skip


@pytest.mark.parametrize("text", SCHEMES)
def test_every_door_takes_a_scheme_with_its_options(text):
    recorded = SCHEMES[text]
    assert schemes.describe(as_factory(text)) == schemes.describe(parse_scheme(text)) == recorded
    assert schemes.describe(schemes.named(text)) == recorded
    for factory in (jasgd.testing.watched(text, lambda point, worker: None), jasgd.testing.logged(text, [])):
        assert schemes.describe(factory) == recorded
    if "native" not in text:
        one = Cluster(compute_s=1.0)
        generated = cluster.generate(one, scheme=text, workers=1, steps=2)
        assert generated.metadata["scheme"] == recorded


def test_train_takes_a_scheme_with_its_options_and_records_it_as_it_records_the_object():
    texts = train("leashed:persistence=3,max_staleness=4")
    objects = train(schemes.leashed(persistence=3, max_staleness=4))
    assert texts.execution.metadata["scheme"] == objects.execution.metadata["scheme"]
    assert "persistence=3" in texts.execution.metadata["scheme"]


RULES = {
    "tail:amplitude=0.5": rules.tail(0.5),
    "tail: cdf=strict": rules.tail(cdf="strict"),
    "exponential:beta=0.2,normalized=true": rules.normalized(rules.exponential(0.2)),
    "inverse": rules.inverse(),
    "mishchenko:smoothness=2,workers=4,learning_rate=0.1": parse_rule(
        "mishchenko:smoothness=2", workers=4, learning_rate=0.1
    ),
}
LAWS = {
    "window:length=16,bins=8": jasgd.StalenessHistogram.window(16, bins=8),
    "decay:half_life=3,bins=8": jasgd.StalenessHistogram.decay(3.0, bins=8),
    "cumulative:bins=8,warm_up=2": jasgd.StalenessHistogram.cumulative(bins=8, warm_up=2),
    "one_shot:start=0,stop=2,bins=8": jasgd.StalenessHistogram.one_shot(0, 2, bins=8),
}


def scaled(tx):
    state, factors = tx.init(jnp.zeros(2)), []
    for tau in (0, 2, 1, 5):
        updates, state = tx.update(jnp.ones(2), state, staleness=tau)
        factors.append(float(updates[0]))
    return factors, state


@pytest.mark.parametrize(("rule", "law"), [(rule, None) for rule in RULES] + [("tail", law) for law in LAWS])
def test_the_transformation_takes_rules_and_laws_in_text(rule, law):
    texts, text_state = scaled(jasgd.staleness_adaptive(rule, law))
    objects, state = scaled(jasgd.staleness_adaptive(RULES.get(rule, rules.tail()), LAWS.get(law)))
    assert texts == objects
    assert jax.tree.structure(text_state) == jax.tree.structure(state)
    assert all(map(np.array_equal, jax.tree.leaves(text_state), jax.tree.leaves(state)))


def test_the_optimizer_with_a_rule_takes_a_law_in_text():
    tx = transformation(rules.tail(), learning_rate=0.1, law="window:length=16,bins=8")
    assert optax.tree.get(tx.init(jnp.zeros(2)), "law").length == 16


def test_a_rule_of_a_name_takes_its_options_in_the_text_and_beside_it():
    assert float(rules.named("exponential:beta=0.5")(2)) == float(rules.named("exponential", beta=0.5)(2))
    with pytest.raises(ValueError, match=r"^rule 'mishchenko.*' needs the option"):
        jasgd.staleness_adaptive("mishchenko:smoothness=2")


CLUSTERS = {
    "compute_s": ("gamma:mean_s=0.01,shape=4", cluster.gamma(0.01, 4)),
    "batch_s": ("0.5", cluster.constant(0.5)),
    "read_s": ("exponential:mean_s=0.1", cluster.exponential(0.1)),
    "commit_s": ("lognormal:mean_s=0.1,sigma=0.5", cluster.lognormal(0.1, 0.5)),
    "speeds": ("lognormal:sigma=0.7", cluster.lognormal(1.0, 0.7)),
    "stragglers": ("probability=0.1,slowdown=5", cluster.Stragglers(0.1, 5)),
    "pauses": ("every_s=10,duration_s=gamma:mean_s=1", None),
    "joins_s": ("0=2.5,3=4", {0: 2.5, 3: 4.0}),
    "leaves_s": ("1=30", {1: 30.0}),
    "nodes": ("count=2,remote=1.5", cluster.Nodes(2, 1.5)),
}


@pytest.mark.parametrize("name", [name for name, (_, one) in CLUSTERS.items() if one is not None])
def test_a_cluster_takes_all_that_the_command_line_writes(name):
    text, one = CLUSTERS[name]
    assert Cluster(**{"compute_s": 1.0} | {name: text}) == Cluster(**{"compute_s": 1.0} | {name: one})


def test_equal_speeds_and_the_duration_of_pauses_are_taken_in_text():
    assert Cluster(compute_s=1.0, speeds="equal") == Cluster(compute_s=1.0)
    pauses = cluster.Pauses(every_s=10, duration_s="exponential:mean_s=1")
    assert pauses == cluster.Pauses(10, cluster.exponential(1.0))
    assert Cluster(compute_s=1.0, pauses="every_s=10,duration_s=1").pauses == cluster.Pauses(10, 1.0)
    with pytest.raises(ValueError, match=r"^pauses: .*duration_s: .*duration 'gamma' needs the option shape"):
        Cluster(compute_s=1.0, pauses=CLUSTERS["pauses"][0])
