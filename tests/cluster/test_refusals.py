"""Bad input is refused with the argument's name, its value and what is allowed; a run without an end is stopped."""

import functools

import numpy as np
import pytest

import jasgd
from jasgd import cluster
from jasgd.cluster import Cluster, Nodes, Pauses, SimulatedScheme, Stragglers, generate, independent


class Law:
    mean_s = 1.0

    def __init__(self, times):
        self.times = times

    def sample(self, rng, size):
        return self.times(size)


class Polite(SimulatedScheme):
    """All wait for each other."""

    name = "polite"

    def read(self, worker):
        self.run.reads(worker)
        yield None

    def commit(self, worker):
        yield None


class Picky(SimulatedScheme):
    """Nothing is ever fresh enough."""

    name = "picky"

    def read(self, worker):
        self.run.reads(worker)
        yield 0.0

    def commit(self, worker):
        self.run.drop(worker, "stale")
        yield 0.0


class Forgetful(SimulatedScheme):
    """The gradient is neither published nor dropped."""

    name = "forgetful"

    def read(self, worker):
        self.run.reads(worker)
        yield 0.0

    def commit(self, worker):
        yield 1.0


class Unread(Forgetful):
    name = "unread"

    def read(self, worker):
        yield 0.0


class Backwards(Forgetful):
    name = "backwards"

    def commit(self, worker):
        yield -1.0


ONE = Cluster(compute_s=1.0)

REFUSED = {
    "negative time": (lambda: Cluster(compute_s=-1.0), ValueError, "compute_s must be a finite number of seconds ≥ 0"),
    "no computing": (lambda: Cluster(compute_s=0.0), ValueError, "compute_s must have a finite mean > 0"),
    "no law": (lambda: Cluster(compute_s=[0.1]), TypeError, "compute_s must be a number of seconds or a Duration"),
    "no text of a law": (
        lambda: Cluster(compute_s="fast"),
        ValueError,
        "^compute_s: a duration must be a number of seconds or one of constant, .*, got 'fast'",
    ),
    "a class": (lambda: Cluster(compute_s=Law), TypeError, "compute_s must be a number of seconds or a Duration"),
    "infinite": (lambda: Cluster(compute_s=1.0, read_s=np.inf), ValueError, "read_s must be a finite number"),
    "gamma": (lambda: cluster.gamma(1.0, 0), ValueError, "shape must be a finite number > 0, got 0"),
    "gamma mean": (lambda: cluster.gamma(-1.0, 1), ValueError, "mean_s must be a finite number > 0, got -1.0"),
    "constant": (lambda: cluster.constant(-1), ValueError, "seconds must be a finite number ≥ 0, got -1"),
    "exponential": (lambda: cluster.exponential("1"), ValueError, "mean_s must be a finite number > 0, got '1'"),
    "lognormal": (lambda: cluster.lognormal(1.0, -1), ValueError, "sigma must be a finite number ≥ 0, got -1"),
    "measured nothing": (lambda: cluster.measured([]), ValueError, "times_s must be a sequence of finite numbers ≥ 0"),
    "measured none": (lambda: cluster.measured({}), ValueError, "times_s must be a sequence of finite numbers ≥ 0"),
    "measured a number": (lambda: cluster.measured(3.0), TypeError, "times_s must be a sequence of numbers, or"),
    "measured NaN": (lambda: cluster.measured([1, np.nan]), ValueError, "times_s must be a sequence of finite"),
    "measured order": (lambda: cluster.measured([1], "random"), ValueError, "order must be one of drawn, recorded"),
    "measured worker": (lambda: cluster.measured({2: [-1]}), ValueError, "times_s of worker 2 must be"),
    "probability": (lambda: Stragglers(1.5, 2), ValueError, r"probability must lie in \[0, 1\], got 1.5"),
    "slowdown": (lambda: Stragglers(0.5, 0.5), ValueError, "slowdown must be a finite number ≥ 1, got 0.5"),
    "pauses": (lambda: Pauses(0.0, 1.0), ValueError, "every_s must be a finite number of seconds > 0, got 0.0"),
    "pause": (lambda: Pauses(1.0, None), TypeError, "duration_s must be a number of seconds or a Duration"),
    "too many pauses": (
        lambda: generate(Cluster(compute_s=1.0, pauses=Pauses(1e-12, 0.0)), workers=1, steps=1), ValueError,
        "every_s of pauses must give fewer than 10000000 pauses in 128 gradients, got 1e-12",
    ),
    "count": (lambda: Nodes(0, 2.0), ValueError, "count must be an integer ≥ 1, got 0"),
    "remote": (lambda: Nodes(2, 0.5), ValueError, "remote must be a finite number ≥ 1, got 0.5"),
    "home": (lambda: Nodes(2, 2.0, home=2), ValueError, "home must be a node in 0…1, or None, got 2"),
    "cores": (lambda: Cluster(compute_s=1, cores=0), ValueError, "cores must be an integer ≥ 1, or None, got 0"),
    "nodes": (lambda: Cluster(compute_s=1, nodes=2), TypeError, "nodes must be a cluster.Nodes or None, got 2"),
    "speed 0": (lambda: Cluster(compute_s=1, speeds=[1, 0]), ValueError, "speeds must be finite numbers > 0, got 0"),
    "speeds": (lambda: Cluster(compute_s=1, speeds=2.0), TypeError, "speeds must be a sequence of numbers > 0"),
    "speed law": (
        lambda: Cluster(compute_s=1, speeds=cluster.gamma(2, 4)), ValueError, "speeds must have mean 1 where they are a"
    ),
    "joins": (lambda: Cluster(compute_s=1, joins_s=[1]), TypeError, "joins_s must be a mapping from workers to"),
    "joins before": (lambda: Cluster(compute_s=1, joins_s={0: -1}), ValueError, "joins_s must be finite numbers"),
    "joins who": (lambda: Cluster(compute_s=1, joins_s={-1: 1}), ValueError, "joins_s must have workers ≥ 0 as keys"),
    "leaves": (
        lambda: Cluster(compute_s=1, joins_s={1: 2}, leaves_s={1: 2}), ValueError, "leaves_s of worker 1 must lie after"
    ),
    "cluster": (lambda: generate(1.0, workers=1, steps=1), TypeError, "cluster must be a jasgd.Cluster, got 1.0"),
    "workers": (lambda: generate(ONE, workers=0, steps=1), ValueError, "workers must be an integer ≥ 1, got 0"),
    "steps": (lambda: generate(ONE, workers=1, steps=1.5), ValueError, "steps must be an integer ≥ 1, got 1.5"),
    "seed": (lambda: generate(ONE, workers=1, steps=1, seed=-1), ValueError, "seed must be an integer ≥ 0, got -1"),
    "large seed": (lambda: generate(ONE, workers=1, steps=1, seed=2**64), ValueError, r"seed must be < 2\*\*64"),
    "who joins": (
        lambda: generate(Cluster(compute_s=1, joins_s={3: 1}), workers=2, steps=1), ValueError,
        "joins_s must name workers in 0…1, got 3",
    ),
    "how many speeds": (
        lambda: generate(Cluster(compute_s=1, speeds=[1]), workers=2, steps=1), ValueError,
        "speeds must be one for each of the 2 workers, got 1",
    ),
    "whose times": (
        lambda: generate(Cluster(compute_s=cluster.measured({0: [1]})), workers=2, steps=1), ValueError,
        "times_s must have times for every worker, got none for worker 1",
    ),
    "no time": (
        lambda: generate(Cluster(compute_s=cluster.measured({0: [1], 1: [0]})), workers=2, steps=1), ValueError,
        "compute_s must have a mean > 0 for every worker, got 0.0 for worker 1",
    ),
    "own law's shape": (
        lambda: generate(Cluster(compute_s=Law(lambda size: np.ones(3))), workers=1, steps=1), ValueError,
        r"compute_s: sample must give an array of shape \(128,\), got \(3,\)",
    ),
    "own law's sign": (
        lambda: generate(Cluster(compute_s=Law(lambda size: -np.ones(size))), workers=1, steps=1), ValueError,
        "compute_s: sample must give finite numbers of seconds ≥ 0, got -1.0",
    ),
    "name": (
        lambda: generate(ONE, scheme="fast", workers=1, steps=1), ValueError,
        "scheme must be one of sequential, synchronous, locked, hogwild, leashed, bounded_staleness, k_of_n, got",
    ),
    "option": (
        lambda: generate(ONE, scheme="hogwild:persistence=1", workers=1, steps=1), ValueError,
        "scheme 'hogwild' has the options max_staleness; got 'persistence'",
    ),
    "no options": (
        lambda: generate(ONE, scheme="synchronous:k=1", workers=1, steps=1), ValueError,
        "scheme 'synchronous' has no options; got 'k'",
    ),
    "missing option": (
        lambda: generate(ONE, scheme="k_of_n", workers=1, steps=1), ValueError, "scheme 'k_of_n' needs the option k"
    ),
    "k": (
        lambda: generate(ONE, scheme=cluster.k_of_n(k=3), workers=2, steps=1), ValueError,
        "k must be an integer in 1…2 .*, got 3",
    ),
    "slack": (
        lambda: generate(ONE, scheme=cluster.bounded_staleness(slack=-1), workers=2, steps=1), ValueError,
        "slack must be an integer ≥ 0, got -1",
    ),
    "persistence": (
        lambda: generate(ONE, scheme=jasgd.schemes.leashed(persistence=-1), workers=2, steps=1), ValueError,
        "persistence must be an integer ≥ 0, or None for no bound, got -1",
    ),
    "max_staleness": (
        lambda: generate(ONE, scheme="locked:max_staleness=0.5", workers=2, steps=1), ValueError,
        "max_staleness must be an integer ≥ 0, or None for no bound, got 0.5",
    ),
    "reading": (
        lambda: generate(ONE, scheme="locked:reading=twice", workers=2, steps=1), ValueError,
        "reading must be 'copy' or 'reference', got 'twice'",
    ),
    "sequential": (
        lambda: generate(ONE, scheme="sequential", workers=2, steps=1), ValueError, "workers must be 1 for the scheme"
    ),
    "scheme": (lambda: generate(ONE, scheme=3, workers=1, steps=1), TypeError, "scheme must be a name, or what makes"),
    "factory": (
        lambda: generate(ONE, scheme=jasgd.schemes.leashed, workers=1, steps=1), TypeError,
        "scheme must be one that is simulated, .*, got leashed",
    ),
    "all leave": (
        lambda: generate(Cluster(compute_s=1, leaves_s={0: 3.5, 1: 2.5}), workers=2, steps=9), ValueError,
        "leaves_s must leave workers for all steps, but all have left after 5 of 9 commits",
    ),
    "all leave one core": (  # both commit at 2; worker 1, then alone, at 3.75
        lambda: generate(Cluster(compute_s=1, cores=1, leaves_s={0: 3.5, 1: 4.5}), workers=2, steps=9), ValueError,
        "leaves_s must leave workers for all steps, but all have left after 3 of 9 commits",
    ),
    "all wait": (
        lambda: generate(ONE, scheme=Polite, workers=2, steps=1), ValueError,
        "scheme 'polite': all workers that are there wait for each other after 0 of 1 commits",
    ),
    "all dropped": (
        lambda: generate(ONE, scheme=Picky, workers=2, steps=5), ValueError,
        "1021 gradients in a row were dropped after 0 of 5 commits, the last one as 'stale'; no commit is in sight",
    ),
    "lost": (lambda: generate(ONE, scheme=Forgetful, workers=1, steps=1), RuntimeError, "neither published nor"),
    "unread": (lambda: generate(ONE, scheme=Unread, workers=1, steps=1), RuntimeError, "read must call run.reads"),
    "past": (lambda: generate(ONE, scheme=Backwards, workers=1, steps=1), ValueError, "must yield seconds ≥ 0 or None"),
    "pmf": (lambda: independent([0.5, 0.4], steps=3), ValueError, "law must be probabilities ≥ 0 of sum 1"),
    "negative pmf": (lambda: independent([1.5, -0.5], steps=3), ValueError, "law must be probabilities ≥ 0 of sum 1"),
    "a word": (lambda: independent("geometric", steps=3), ValueError, "law must be probabilities .* got 'geometric'"),
    "empty law": (
        lambda: independent(jasgd.StalenessHistogram.window(4), steps=3), ValueError, "law must be one histogram with"
    ),
    "function": (lambda: independent(lambda rng, size: [0.5] * size, steps=3), ValueError, "law must give 3 integers"),
    "no steps": (lambda: independent([1.0], steps=0), ValueError, "steps must be an integer ≥ 1, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_a_law_that_gives_only_zeros_ends():
    lazy = Cluster(compute_s=Law(np.zeros), batch_s=functools.partial(cluster.constant, 1.0)())
    assert generate(lazy, scheme="leashed", workers=2, steps=3).time_s.tolist() == [1.0, 1.0, 2.0]
    nothing = Cluster(compute_s=Law(np.zeros))
    assert generate(nothing, scheme="leashed", workers=2, steps=300).worker.tolist() == [0] * 300


def test_a_scheme_of_one_s_own_with_an_option_of_that_name_is_refused_like_any_other():
    class Mine:
        name = "mine"

        def __init__(self, setup, *, native=False):
            pass

    with pytest.raises(TypeError, match="scheme must be one that is simulated"):
        cluster.generate(Cluster(compute_s=1.0), scheme=functools.partial(Mine, native=True), workers=1, steps=1)
