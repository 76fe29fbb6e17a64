"""How objects show themselves: what a session prints is a line, however much the object holds; what it was is a table.

The kind of fault: an object that holds arrays, and that prints them all.
"""

import dataclasses
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.callbacks import state_of
from support.problems import network

import jasgd
import theory
from jasgd import callbacks, cluster, fits, problems, showing
from jasgd.core.messages import Committed, Dropped, Snapshot
from jasgd.experiments.measures import measures
from jasgd.experiments.spectrum_jobs import Point
from jasgd.problems.datasets import describe_dataset, locate
from jasgd.record.result import StuckWorker
from jasgd.replaying.nonfinite import NonFinite
from theory.auditing.recorded_run import Commits
from theory.convergence.trace import trace_condition
from theory.decisions.decision import decide

MOST = 200


def adaptive(rate=0.1):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(rate))


def trained():
    params, loss_fn, batches = network()
    setups, gradients = [], []

    class Kept(jasgd.schemes.SCHEMES["leashed"]):
        def __init__(self, setup):
            super().__init__(setup)
            setups.append(setup)

        def commit(self, gradient):
            gradients.append(gradient)
            return super().commit(gradient)

    progress = []
    result = jasgd.train(
        loss_fn, params, adaptive(), batches, scheme=Kept, workers=1, steps=130, evaluate=lambda p: {"loss": 1 / 3},
        on_progress=progress.append,
    )  # fmt: skip
    again = jasgd.replay(result, loss_fn, adaptive(), batches, upto=3)
    return result, again, setups[0], gradients[0], progress[-1]


@pytest.fixture(scope="module")
def objects():
    """One real object of every class that a user may print, by name."""
    result, again, setup, gradient, progress = trained()
    exact, model = result.execution, cluster.Cluster(compute_s=cluster.gamma(0.01, 4))
    pairs = [(seed, size) for seed in range(3) for size in (0.1, 0.2)]
    simulation = jasgd.Simulation((0, 1, 2), (0.1, 0.2), dict.fromkeys(pairs, result), 0.5)
    arms = tuple(map(jasgd.Arm.parse, ["constant", "tail", "constant@tail"]))
    settings, runs = {"workers": 1, "scheme": "leashed"}, {arm.label: {0: result} for arm in arms}
    comparison = jasgd.Comparison("network", arms, (0,), settings, runs)
    numbers = {Point("equal", m, 0, "tail", 0.1): {"outcome": "finished"} | measures(result) for m in (1, 2)}
    spectrum = jasgd.Spectrum("network", arms[1:2], (0,), (1, 2), ("equal",), (0.1,), settings, numbers)
    law = result.law
    crowd = cluster.Cluster(
        compute_s=cluster.measured(np.linspace(0.1, 1, 500)), speeds=[1.0] * 300,
        stragglers=cluster.Stragglers(0.1, 2.0), pauses=cluster.Pauses(1.0, 0.1),
        joins_s=dict.fromkeys(range(200), 1.0), nodes=cluster.Nodes(2, 1.5),
    )  # fmt: skip
    tempo = cluster.Tempo(np.arange(1.0, 300.0), np.ones(299))
    problem = small_problem()
    report = decide(theory.load("jasgd.rules:exponential:beta=0.1"), [theory.parse_law("poisson:3")])
    audit = theory.audit(exact, learning_rate=0.1, smoothness=1.0, noise=1.0, gap=1.0)
    compensated = jasgd.delay_compensated(2.0, mean_square_decay=0.9)
    secants, probes = jasgd.adaptive.secants(), jasgd.adaptive.probes(problem.loss_fn, 0)
    by_distance = jasgd.distance_adaptive("measured_parabola").init(problem.params)
    return {
        "result": result, "diverged": dataclasses.replace(result, outcome=jasgd.Outcome.DIVERGED, message="x" * 999),
        "empty result": dataclasses.replace(result, execution=generated(0)),
        "execution": exact, "no rows": generated(0), "drops": exact.dropped, "generated": generated(300),
        "replay": again, "progress": progress, "outcome": result.outcome, "stuck": StuckWorker(3, "a\nb\n" * 400),
        "law": law, "window": jasgd.StalenessHistogram.window(), "decay": jasgd.StalenessHistogram.decay(),
        "one shot": jasgd.StalenessHistogram.one_shot(3, 9), "no law": jasgd.StalenessHistogram.cumulative(),
        "published": jasgd.rules.tail_published(workers=4).law, "adaptive state": result.opt_state[0],
        "state by distance": by_distance, "law of distances": by_distance.law.count(2.0),
        "no law of distances": by_distance.law, "curvature": by_distance.curvature,
        "rule by distance": jasgd.distances.table.parse_step_rule("distance:tail:measure=path"),
        "task": jasgd.Task(problem.loss_fn, problem.params, problem.batches), "estimator": secants,
        "secants": secants.init(problem.params), "probes": probes.init(problem.params),
        "best line": jasgd.adaptive.best_line_adaptive(0.1, secants).init(problem.params),
        "by worker, its state": jasgd.adaptive.per_worker("tail", 3).init(problem.params),
        "by share": jasgd.adaptive.worker_rescaled(3).init(problem.params),
        "compensated state": compensated.init(problem.params), "fits": fits.fit(law)[0], "moments": (
            jasgd.rules.step_size_moments(jasgd.rules.tail(), law)),
        "simulation": simulation, "by_seed": jasgd.by_seed(lambda seed: seed), "comparison": comparison,
        "spectrum": spectrum, "arm": comparison.arms[-1], "cluster": model, "crowd": crowd, "tempo": tempo,
        "tempos": cluster.Cluster(compute_s=1.0, tempos=dict.fromkeys(range(99), tempo)),
        "gamma": cluster.gamma(1 / 3, 4), "lognormal": cluster.lognormal(1 / 3, 0.7), "measured": crowd.compute_s,
        "by worker": cluster.measured({worker: [0.1] * 99 for worker in range(40)}), "nodes": crowd.nodes,
        "pauses": crowd.pauses, "stragglers": crowd.stragglers, "problem": problem, "dataset": problem.dataset,
        "batches": problem.batches, "data set of a table": describe_dataset("mnist"), "location": locate("mnist"),
        "view": gradient.view, "gradient": gradient, "snapshot": Snapshot(1, gradient.view.params, gradient.grads),
        "committed": Committed(1, 2, 1 / 3, 1), "dropped": Dropped("stale", 1, 2, 1), "setup": setup,
        "compiled": setup.compiled, "non-finite": NonFinite(3, 3, tuple(f"['layer{i}']" for i in range(9)), True),
        "candidate": report.candidate, "report": report, "decision": report.decisions[0], "audit": audit,
        "finding": report.decisions[0].findings[0][1], "remark": audit.remarks[0], "commits": Commits.of(exact),
        "trace": trace_condition(np.zeros(500, int), np.full(500, 0.1), smoothness=1.0),
        "law of a candidate": theory.parse_law("mixture:1/2*poisson:3+1/2*uniform:0:9"),
        "state of a run": state_of(version=3, staleness=range(999)),
        "early stopping": callbacks.EarlyStopping(patience=3),
        "json lines": callbacks.JsonLines("log.jsonl"), "tensorboard": callbacks.TensorBoard("logs"),
        "metrics": callbacks.Metrics(print), "display": callbacks.Progress("digits"),
        "checkpoints": jasgd.Checkpoints("runs/mine", every_s=60),
        "engine": jasgd.engines.ray("auto", runtime_env={"env_vars": dict.fromkeys("abcdefgh", "1" * 30)}),
        "threads": jasgd.engines.ThreadsEngine(),
        "options of a run": callbacks.RunOptions(10**6, 1e9, 1 / 3, True),
        "event": jasgd.testing.Event(*range(len(jasgd.testing.Event._fields))),
    }  # fmt: skip


def small_problem():
    images, labels = np.zeros((1437, 4, 4, 1), np.uint8), np.zeros(1437, np.int32)
    data = problems.Dataset("digits", images, labels, images[:360], labels[:360])
    params, loss_fn, _ = network()
    batches = jasgd.minibatches((images, labels), 32)
    return problems.Problem("digits/mlp", data, "mlp", loss_fn, loss_fn, params, batches, loss_fn, 32, 0, None)


def generated(rows):
    one = cluster.generate(cluster.Cluster(compute_s=1.0), workers=3, steps=max(rows, 1))
    if rows:
        return one
    columns = {name: getattr(one, name)[:0] for name in jasgd.record.execution.COLUMNS}
    return dataclasses.replace(one, **columns, row_hash=None)


def test_every_object_is_one_short_line(objects):
    long = {name: repr(one) for name, one in objects.items() if len(repr(one)) > MOST or "\n" in repr(one)}
    assert long == {}
    assert len(repr(fits.fit(objects["law"]))) <= 5 * MOST


def test_what_is_printed_names_what_matters(objects):
    line = repr(objects["result"])
    assert line.startswith("TrainResult(outcome=finished, updates=130, workers=1, scheme=")
    for part in ("loss=", " → ", "mean_staleness=0"):
        assert part in line
    assert "commits=300, gradients=300, dropped=0, workers=3, scheme=leashed" in repr(objects["generated"])
    assert repr(objects["problem"]).startswith("Problem(name=digits/mlp, batch_size=32, seed=0, params=6 arrays of ")
    assert repr(objects["window"]) == "StalenessHistogram(length=1024, updates=0)"
    assert "outcomes=6 finished" in repr(objects["simulation"])
    assert repr(objects["law of a candidate"]) == "Mixture(mixture:1/2*poisson:3+1/2*uniform:0:9)"
    assert "speeds=300 values from 1 to 1" in repr(objects["crowd"])


def test_notebooks_get_a_table_that_asks_for_nothing_from_elsewhere(objects):
    tables = {name: one._repr_html_() for name, one in objects.items() if hasattr(one, "_repr_html_")}
    assert set(tables) >= {
        "result",
        "execution",
        "replay",
        "simulation",
        "comparison",
        "spectrum",
        "problem",
        "fits",
        "law",
        "audit",
    }
    for name, text in tables.items():
        assert text.startswith("<table><caption>"), name
        assert text.endswith("</table>"), name
        assert not any(word in text for word in ("http", "<script", "src=", "href")), name
    assert tables["simulation"].count("<tr>") == 1 + 6 + repr(objects["simulation"]).count("=")
    assert "<td>constant@tail</td>" in tables["comparison"]


def test_text_is_escaped_in_tables():
    text = showing.table("<b>", {"<i>": "a<b & 'c'"}, [{"k<": "<script>"}])
    assert "<script>" not in text
    assert "<caption>&lt;b&gt;</caption><tr><th>&lt;i&gt;</th><td>a&lt;b &amp; &#x27;c&#x27;</td>" in text


def test_every_public_class_was_printed(objects):
    """A class that comes later has to be printed here as well, or to be listed as one that no user prints."""
    seen = {type(one) for one in objects.values()}
    for one in list(objects.values()):
        seen |= {base for base in type(one).__mro__}
    not_printed = {
        "ClusterRun", "SimulatedScheme", "Duration", "Interleaving", "Rule", "Batches", "Model", "Scheme",
        "NativeScheme", "Mutex", "Minibatches", "Round", "Callback",
    }  # fmt: skip
    modules = [jasgd, *(getattr(jasgd, name) for name in (*jasgd.__all__, "problems"))]
    public = {
        value
        for module in modules
        if inspect.ismodule(module)
        for name in (getattr(module, "__all__", None) or vars(module))
        if inspect.isclass(value := getattr(module, name)) and value.__module__.startswith(("jasgd", "theory"))
    }
    missing = {
        one.__name__ for one in public
        if not issubclass(one, (Exception, *jasgd.schemes.SCHEMES.values(), cluster.SimulatedScheme))
        and one not in seen and one.__name__ not in not_printed and not one.__name__.startswith("_")
    }  # fmt: skip
    assert missing == set()


def test_no_dataclass_with_arrays_prints_its_fields():
    """Whatever a dataclass of the library annotates as an array or a pytree of them, its own line does not print."""
    offenders = []
    for package in (jasgd, theory):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__") or ".cli" in info.name:
                continue
            for value in vars(importlib.import_module(info.name)).values():
                if inspect.isclass(value) and value.__module__ == info.name and dataclasses.is_dataclass(value):
                    shown = [f for f in dataclasses.fields(value) if f.repr and "ndarray" in str(f.type)]
                    if shown and "__repr__" in vars(value):
                        offenders.append(f"{info.name}.{value.__name__}")
    assert offenders == []


@jax.jit
def _printed_while_traced(law):
    printed.append(repr(law))
    return law.count(1)


printed: list[str] = []


def test_a_law_that_is_traced_vectorised_or_deleted_is_printed_as_well():
    """An error message that prints a state must not raise one of its own."""
    law = jasgd.StalenessHistogram.window(4, bins=2)
    _printed_while_traced(law)
    shapes = jax.eval_shape(lambda: law)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), law)
    jax.jit(lambda one: one, donate_argnums=0)(gone := jax.tree.map(jnp.copy, law))
    names = jax.tree.map(lambda leaf: "a name", law)
    for text in (*printed, *map(repr, (shapes, stacked, gone, names))):
        assert text.startswith("StalenessHistogram(bins=2, length=4"), text
    assert "int32[3,4]" in repr(stacked)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.3333"), (7, "7"), (True, "True"), (np.float32(0.1), "0.1"), ("a\nb", "a b"), (None, "None"),
        ([1, 2], "[1, 2]"), ({"a": 1}, "{a: 1}"), (dict.fromkeys(range(99)), "99 entries"),
        ({1: 2, "a": 3}, "{1: 2, a: 3}"), (np.zeros((2, 3)), "float64[2,3]"), ({"w": jnp.ones(2)}, "float32[2]"),
        (optax.sgd, "sgd"), ([], "[]"), (jax.ShapeDtypeStruct((3,), "int8"), "int8[3]"), (b"ab", "b'ab'"),
    ],
)  # fmt: skip
def test_values_are_brief(value, text):
    assert showing.brief(value) == text


def test_a_line_never_grows():
    line = showing.line("Name", {f"fact{i}": "x" * 300 for i in range(50)})
    assert len(line) <= showing.LONGEST
    assert line.endswith(", …)")
