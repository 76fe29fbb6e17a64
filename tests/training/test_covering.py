"""Data sets × models × schemes × rules, on real data: every pair of choices trains in some run, and the full product in
``make test-full``. A level is set for each problem that a control with frozen parameters does not reach."""

import functools
import itertools

import optax
import pytest

import jasgd
from jasgd import problems, rules

#: Mean training loss, in nats, over the last 40 gradients that a run must come below.
LEVELS = {
    ("digits", "mlp"): 1.2,
    ("digits", "lenet"): 1.8,
    ("digits", "lenet5"): 1.8,
    ("mnist", "mlp"): 1.0,
    ("mnist", "lenet"): 1.2,
    ("mnist", "lenet5"): 1.2,
    ("fashion_mnist", "mlp"): 1.2,
    ("fashion_mnist", "lenet"): 1.4,
    ("fashion_mnist", "lenet5"): 1.4,
    ("cifar10", "mlp"): 2.2,
    ("cifar10", "lenet"): 2.25,
    ("cifar10", "lenet5"): 2.25,
}
FROZEN = "frozen parameters"
LEARNING_RATE, WORKERS, STEPS, BATCH = 0.01, 4, 300, 32

#: Rules that dampen run over their mean, so that one learning rate serves all.
RULES = {
    "constant": rules.constant(),
    "inverse": rules.normalized(rules.inverse()),
    "power": rules.power(0.3),
    "hinge": rules.hinge(grace=4, slope=0.2),
    "exponential": rules.normalized(rules.exponential(0.1)),
    "threshold": rules.threshold(12),
    "mishchenko": rules.mishchenko(LEARNING_RATE, smoothness=10.0, workers=WORKERS),
    "koloskova": rules.koloskova(LEARNING_RATE, smoothness=10.0, concurrency=WORKERS),
    "adadelay": rules.adadelay(LEARNING_RATE, smoothness=80.0),
    "tail": rules.tail(),
    "tail strict": rules.tail(cdf="strict"),
    "tail inclusive": rules.tail(amplitude=0.5, cdf="inclusive"),
    "tail_published": rules.tail_published(WORKERS),
    "rank_power": rules.rank_power(),
    "rank_exponential": rules.rank_exponential(),
    "freshest_share": rules.freshest_share(0.8),
    "linear": rules.linear(),
    "best_linear": rules.best_linear(0.1),
    "own": lambda staleness, law: 2.0 / (1.0 + (staleness > law.mean())),
}
SCHEMES = {
    "sequential": "sequential",
    "synchronous": "synchronous",
    "locked": "locked",
    "hogwild": "hogwild",
    "leashed": jasgd.schemes.leashed(persistence=8),
}
FACTORS = (list(problems.DATASETS), list(problems.MODELS), list(SCHEMES), list(RULES))


def pairwise(*factors):
    """Rows that contain every pair of choices of two factors, built greedily; the same rows every time."""
    pairs = {
        ((i, a), (j, b))
        for (i, x), (j, y) in itertools.combinations(enumerate(factors), 2)
        for a, b in itertools.product(x, y)
    }

    def covered(row):
        return set(itertools.combinations(enumerate(row), 2)) & pairs

    rows = []
    every = list(itertools.product(*factors))
    while pairs:
        row = max(every, key=lambda r: len(covered(r)))
        pairs -= covered(row)
        rows.append(row)
    return rows


def test_the_covering_set_covers_every_pair():
    rows = pairwise(*FACTORS)
    for (i, x), (j, y) in itertools.combinations(enumerate(FACTORS), 2):
        assert {(row[i], row[j]) for row in rows} == set(itertools.product(x, y))
    assert len(rows) < 100
    assert set(LEVELS) == set(itertools.product(FACTORS[0], FACTORS[1]))
    assert set(SCHEMES) == set(jasgd.schemes.SCHEMES)
    assert {name.split()[0] for name in RULES} == {*rules.RULES, "own"}


@functools.lru_cache(maxsize=1)  # a data set takes up to 0.6 GB, and tests come by data set and model
def problem_of(dataset, model):
    try:
        return problems.load(dataset, model, batch_size=BATCH, download=False, test_examples=200)
    except problems.DatasetError:
        return None


@pytest.fixture(scope="module", autouse=True)
def data_sets_are_let_go():
    yield
    problem_of.cache_clear()


def loaded(dataset, model):
    problem = problem_of(dataset, model)
    if problem is None:
        pytest.skip(f"{dataset} is not on this machine")
    return problem


def final_loss(problem, scheme, tx):
    workers = 1 if scheme == "sequential" else WORKERS
    steps = STEPS // 2 if scheme == "synchronous" else STEPS
    result = jasgd.train(
        problem.loss_fn, problem.params, tx, problem.batches, scheme=SCHEMES[scheme], workers=workers, steps=steps
    )
    assert result.execution.commits == steps
    return float(result.execution.loss[-40:].mean())


def check(dataset, model, scheme, rule):
    problem = loaded(dataset, model)
    if rule == FROZEN:
        assert final_loss(problem, scheme, optax.set_to_zero()) > LEVELS[dataset, model]
    else:
        tx = optax.chain(jasgd.staleness_adaptive(RULES[rule]), optax.sgd(LEARNING_RATE))
        assert final_loss(problem, scheme, tx) < LEVELS[dataset, model]


#: Every pair of choices, and a control for each problem; by problem, so that each is loaded once.
ROWS = sorted([*pairwise(*FACTORS), *((dataset, model, "leashed", FROZEN) for dataset, model in LEVELS)])


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "model", "scheme", "rule"), ROWS)
def test_every_pair_of_choices_trains_on_real_data_and_frozen_parameters_do_not(dataset, model, scheme, rule):
    check(dataset, model, scheme, rule)


@pytest.mark.full
@pytest.mark.data
@pytest.mark.parametrize(("dataset", "model", "scheme", "rule"), list(itertools.product(*FACTORS)))
def test_the_full_product_trains_on_real_data(dataset, model, scheme, rule):
    check(dataset, model, scheme, rule)
