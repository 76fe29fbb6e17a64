"""What holds in every generated execution, and that both engines give the same one where both can."""

import dataclasses
import functools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.python_process import run_python

import jasgd
from jasgd import cluster
from jasgd.cluster.draws import BLOCK, Draws
from jasgd.cluster.generation import event_engine, scheme_names, sorting_engine
from jasgd.cluster.generation.generator import execution_of
from jasgd.cluster.generation.run import ClusterRun

TICK = 0.25  # multiples of it are exact, so that many things happen at one instant

DURATIONS = st.one_of(
    st.integers(1, 8).map(lambda n: cluster.constant(n * TICK)),
    st.lists(st.integers(0, 6), min_size=1, max_size=4)
    .filter(any)
    .flatmap(
        lambda ns: st.sampled_from(["drawn", "recorded"]).map(
            lambda order: cluster.measured([n * TICK for n in ns], order)
        )
    ),
    st.just(cluster.exponential(TICK)),
    st.just(cluster.gamma(1.0, 4.0)),
    st.just(cluster.lognormal(0.5, 1.0)),
)
ZERO_OR_MORE = st.one_of(st.just(0.0), DURATIONS)


@st.composite
def clusters(draw, workers, *, contended, changes):
    """A cluster; ``contended``: with cores, nodes, and times to read and commit; ``changes``: some join or leave."""
    joins, leaves = {}, {}
    if changes:
        coming_and_going = st.tuples(st.integers(0, 8), st.integers(1, 40))
        for worker, (joins_at, stays) in draw(st.dictionaries(st.integers(0, workers - 1), coming_and_going)).items():
            joins[worker] = joins_at * TICK
            if worker > 0:  # one stays, so that the run ends
                leaves[worker] = (joins_at + stays) * TICK
    times = {"cores": st.sampled_from([None, 6])}  # with six for as many workers none shares
    if contended:
        nodes = st.sampled_from([None, cluster.Nodes(2, 2.0), cluster.Nodes(3, 1.5, home=1)])
        cores = st.sampled_from([None, 1, 2, 3])
        times = {"read_s": ZERO_OR_MORE, "commit_s": ZERO_OR_MORE, "cores": cores, "nodes": nodes}
    return cluster.Cluster(
        compute_s=draw(DURATIONS),
        batch_s=draw(ZERO_OR_MORE),
        speeds=draw(st.sampled_from([None, [0.5, 1, 2, 1, 4, 1][:workers], cluster.gamma(1.0, 8.0)])),
        stragglers=draw(st.sampled_from([None, cluster.Stragglers(0.2, 4.0)])),
        pauses=draw(st.sampled_from([None, cluster.Pauses(2.0, cluster.exponential(0.5))])),
        joins_s=joins,
        leaves_s=leaves,
        **{name: draw(kind) for name, kind in times.items()},
    )


def with_both(model, scheme, workers, steps, seed):
    def with_one(engine):
        draws = Draws(model, workers, seed)
        simulated = scheme_names.resolve(scheme)[1](ClusterRun(draws, steps))
        assert sorting_engine.applies(draws, simulated)
        return execution_of(engine.play(draws, simulated), {"workers": workers})

    return with_one(sorting_engine), with_one(event_engine)


def check(execution):
    execution.validate()
    balance = execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    assert np.all(np.isnan(execution.loss) & np.isnan(execution.factor))
    assert np.all(execution.time_s >= 0)
    by_worker = np.lexsort((execution.version, execution.worker))
    same = np.diff(execution.worker[by_worker]) == 0
    for column in (execution.time_s, execution.ticket, execution.version_read):  # a worker's own go forward
        assert np.all(np.diff(column[by_worker])[same] >= 0)


@given(st.data(), st.integers(1, 6), st.integers(1, 3 * BLOCK), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("scheme", ["hogwild", "locked", "leashed", "synchronous", "sequential"])
def test_both_engines_give_the_same_execution(scheme, data, workers, steps, seed):
    workers = 1 if scheme == "sequential" else workers
    model = data.draw(clusters(workers, contended=False, changes=scheme != "synchronous"))
    if scheme in ("hogwild", "synchronous", "sequential"):
        times = {name: data.draw(ZERO_OR_MORE) for name in ("read_s", "commit_s")}
        model = dataclasses.replace(model, **times)
    one, other = with_both(model, scheme, workers, steps, seed)
    for name, column in one.hashes().items():
        assert column == other.hashes()[name], name
    assert one.metadata == other.metadata
    check(one)


@given(st.data(), st.integers(1, 6), st.integers(1, 60), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize(
    "scheme",
    [
        "hogwild", "hogwild:max_staleness=1", "locked", "locked:max_staleness=0", "leashed", "leashed:persistence=0",
        "leashed:persistence=2,max_staleness=3", "synchronous", "k_of_n", "bounded_staleness:slack=0",
        "bounded_staleness:slack=2",
    ],
)  # fmt: skip
def test_staleness_is_conserved(scheme, data, workers, steps, seed):
    model = data.draw(clusters(workers, contended=True, changes=True))
    kind = cluster.k_of_n(k=data.draw(st.integers(1, workers))) if scheme == "k_of_n" else scheme
    execution = cluster.generate(model, scheme=kind, workers=workers, steps=steps, seed=seed)
    check(execution)
    assert execution.commits == steps
    if scheme == "synchronous":
        assert np.all(execution.staleness == 0)
    if "max_staleness" in scheme:
        most = int(scheme[-1])
        assert np.all(execution.staleness <= most)
        assert np.all(execution.dropped.staleness[execution.dropped.reason == 0] > most)
    if scheme.startswith("bounded") and not model.leaves_s and not model.joins_s:
        assert execution.staleness.max() <= (workers - 1) * (2 * int(scheme[-1]) + 1)


def test_the_mean_staleness_of_busy_workers_is_one_less_than_there_are():
    model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4), speeds=cluster.gamma(1.0, 10.0))
    execution = cluster.generate(model, scheme="leashed", workers=20, steps=50_000)
    balance = execution.conservation()
    # The end effects, from the law of conservation: what is in flight; no worker has a gap after its first read.
    assert balance["gaps"] == 0
    assert execution.staleness.sum() == 19 * 50_000 - balance["in_flight"]
    assert abs(execution.staleness.mean() - 19) < 0.05


def test_ten_thousand_workers():
    execution = cluster.generate(
        cluster.Cluster(compute_s=cluster.gamma(0.01, 4)), scheme="hogwild", workers=10_000, steps=50_000
    )
    check(execution)
    assert execution.conservation()["total"] == 9_999 * 50_000


PROGRAM = """
from jasgd import cluster
model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4), commit_s=cluster.lognormal(0.001, 0.5), read_s=0.001,
    speeds=cluster.gamma(1.0, 8.0), stragglers=cluster.Stragglers(0.1, 5.0),
    pauses=cluster.Pauses(0.1, cluster.exponential(0.02)), leaves_s={3: 1.0}, joins_s={1: 0.5}, cores=4)
for scheme in ("hogwild", "leashed:persistence=1", "bounded_staleness"):
    print(sorted(cluster.generate(model, scheme=scheme, workers=6, steps=400, seed=7).hashes().items()))
print(cluster.independent([0.25, 0.75], steps=50, seed=7).hashes()["staleness"])
"""


def test_the_same_call_gives_the_same_execution_in_every_process():
    printed = [run_python("-c", PROGRAM, env={"PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")]
    assert printed[0] == printed[1]


def test_seeds_differ():
    model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4))
    times = [cluster.generate(model, workers=2, steps=10, seed=seed).time_s for seed in (0, 1, 2**64 - 1)]
    assert len({tuple(t) for t in times}) == 3


def test_one_worker_draws_the_same_whoever_else_is_there():
    model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4))
    alone, among = (cluster.generate(model, workers=m, steps=m * 50) for m in (1, 8))
    mine = among.time_s[among.worker == 0]
    many = min(len(mine), 50)
    np.testing.assert_array_equal(mine[:many], alone.time_s[:many])


def test_a_user_writes_a_law_and_a_scheme():
    class Uniform:
        mean_s = 0.5

        def sample(self, rng, size):
            return rng.random(size)

    class Turns(cluster.SimulatedScheme):
        """Workers commit in turns."""

        name = "turns"

        def __init__(self, run, *, first=0):
            super().__init__(run)
            self.turn = first

        def read(self, worker):
            self.run.reads(worker)
            yield self.run.read_s(worker)

        def commit(self, worker):
            while self.turn != worker:
                yield None
            yield self.run.commit_s(worker)
            self.run.publish(worker)
            self.turn = (worker + 1) % self.run.workers
            self.run.wake(self.turn)

    model = jasgd.Cluster(compute_s=Uniform(), commit_s=0.1)
    execution = cluster.generate(model, scheme=functools.partial(Turns, first=2), workers=3, steps=9)
    check(execution)
    assert execution.worker.tolist() == [2, 0, 1] * 3
    assert execution.metadata["scheme"] == "turns(first=2)"
    assert execution.metadata["generated"]["compute_s"] == {"law": "uniform"}


def test_what_was_generated_is_told_and_saved(tmp_path):
    model = cluster.Cluster(
        compute_s=cluster.measured([0.1, 0.2]), speeds=[1, 2], cores=1, leaves_s={1: 5}, joins_s={1: 1},
        nodes=cluster.Nodes(2, 2.0), stragglers=cluster.Stragglers(0.5, 2.0), pauses=cluster.Pauses(1.0, 0.5),
    )  # fmt: skip
    execution = cluster.generate(model, scheme=jasgd.schemes.leashed(persistence=3), workers=2, steps=20, seed=5)
    execution.save(tmp_path / "execution.npz")
    again = jasgd.Execution.load(tmp_path / "execution.npz")
    assert again.hashes() == execution.hashes()
    assert again.metadata == execution.metadata
    assert {name: again.metadata[name] for name in ("scheme", "workers", "seed")} == {
        "scheme": "leashed(persistence=3)", "workers": 2, "seed": 5
    }  # fmt: skip
    description = again.metadata["generated"]
    assert pickle.loads(pickle.dumps(model)).describe() == description
    assert description["compute_s"]["count"] == 2
    assert description["speeds"] == [1.0, 2.0]
    assert description["joins_s"] == {"1": 1.0}
    assert description["nodes"] == {"count": 2, "remote": 2.0, "home": None}
    assert description["pauses"]["duration_s"] == {"law": "constant", "mean_s": 0.5}
