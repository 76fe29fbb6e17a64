"""Arguments of every public function that cannot work: refused by name, with what is allowed, before anything runs.

The kind of fault: an argument that is first looked at after a batch was drawn, a loss was traced, or a data set loaded.
So what would be called by then fails the test.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import cluster, fits, report

CPUS = ", ".join(f"cpu:{one.id}" for one in jax.devices("cpu"))


def never(*args, **kwargs):
    pytest.fail("an argument was refused too late: something was called")


class Watched:
    """A loss of (params, batch), batches of a ticket, or a problem of a seed, none of which may be called."""

    @staticmethod
    def loss_fn(params, batch):
        never()

    @staticmethod
    def batches(ticket):
        never()


EXECUTION = cluster.generate(cluster.Cluster(compute_s=1.0), workers=2, steps=4)
RESULT = jasgd.TrainResult(
    jnp.zeros(2), (), EXECUTION, jasgd.Outcome.FINISHED, "", [], {}, {}, 1.0, initial_params=jnp.zeros(2)
)
COMMON = {"loss_fn": Watched.loss_fn, "params": jnp.zeros(2), "tx": optax.sgd(0.1), "batches": Watched.batches}
GOOD = {
    jasgd.train: COMMON | {"workers": 1, "steps": 3},
    jasgd.simulate: COMMON | {"cluster": cluster.Cluster(compute_s=1.0), "workers": 2, "steps": 3},
    jasgd.replay: {name: value for name, value in COMMON.items() if name != "params"} | {"result": RESULT},
    jasgd.compare: {"problem": never, "arms": ["tail"], "seeds": [0], "workers": 1, "learning_rate": 0.1, "steps": 3},
    jasgd.sweep: {
        "problem": never, "arms": ["tail"], "seeds": [0], "workers": [1], "learning_rates": [0.1], "steps": 3,
        "clusters": {"one": cluster.Cluster(compute_s=1.0)},
    },
}  # fmt: skip

LOSS = {
    "number": (3, TypeError, "loss_fn must be a function of (params, batch), got int 3"),
    "none": (None, TypeError, "loss_fn must be a function of (params, batch), got None"),
    "three": (lambda params, x, y: never(), TypeError, "(params, x, y): take the batch as one argument, and unpack it"),
    "keyword": (lambda params, batch, *, train: never(), TypeError, "give it train beforehand"),
    "one": (lambda params: never(), TypeError, "loss_fn must be a function of (params, batch), got <lambda>(params)"),
}
TX = {
    "none": (None, TypeError, "tx must be an Optax gradient transformation, got None: pass one such as optax.sgd(0.1)"),
    "rate": (0.1, TypeError, "got float 0.1: give it to an optimizer, as in optax.sgd(0.1)"),
    "text": ("sgd", TypeError, "tx must be an Optax gradient transformation, got str 'sgd'"),
    "list": ([optax.clip(1.0), optax.sgd(0.1)], TypeError, "chain them, as in optax.chain(one, two)"),
    "state": (optax.sgd(0.1).init(jnp.zeros(2)), TypeError, "tx must be an Optax gradient transformation, got tuple"),
    "no init": (type("Tx", (), {"update": never})(), TypeError, "tx must be an Optax gradient transformation, got Tx"),
}
#: Where tx may be a function of a learning rate, functions are refused in other words.
TX_FUNCTIONS = {
    "optimizer": (optax.sgd, TypeError, "got function sgd: call it, as in sgd(...)"),
    "adaptive": (jasgd.staleness_adaptive, TypeError, "call it, as in staleness_adaptive(...)"),
    "rule": (jasgd.rules.tail(), TypeError, "a rule goes into jasgd.staleness_adaptive(rule)"),
    "factory of rules": (jasgd.rules.tail, TypeError, "a rule goes into jasgd.staleness_adaptive(rule)"),
    "schedule": (optax.linear_schedule(0.1, 0.0, 9), TypeError, "as in optax.sgd(schedule)"),
}
PARAMS = {
    "none": (None, ValueError, "params must have at least one array, got an empty pytree"),
    "number": ({"w": 1.0}, TypeError, "params['w'] must be a jax or NumPy array, got float 1.0: wrap it"),
    "integers": (
        {"w": jnp.arange(3)},
        TypeError,
        "params['w'] must be of a floating-point dtype, got int32: what is not",
    ),
    "key": ({"k": jax.random.key(0)}, TypeError, "params['k'] must be of a floating-point dtype, got key<fry>"),
    "shapes": (jax.eval_shape(lambda: jnp.zeros(2)), TypeError, "got float32[2], a ShapeDtypeStruct without numbers"),
    "function": (
        lambda: 1,
        TypeError,
        "params must be a jax or NumPy array, got function <lambda>: pass its parameters",
    ),
}
BATCHES = {
    "number": (3, TypeError, "batches must be a function of a ticket"),
    "none": (None, TypeError, "batches must be a function of a ticket"),
    "index": (
        lambda ticket, index: never(),
        TypeError,
        "(ticket, worker), got <lambda>(ticket, index): give",
    ),
    "worker, index": (lambda ticket, worker, index: never(), TypeError, "got <lambda>(ticket, worker, index): give it"),
    "forced": (lambda ticket, *, epoch: never(), TypeError, "got <lambda>(ticket, *, epoch): give it all else"),
    "nothing": (lambda: never(), TypeError, "batches must be a function of a ticket, or of (ticket, worker), got"),
}
DEVICE = {
    "platform": (
        "abacus",
        ValueError,
        f"a platform such as 'cpu' or 'gpu:0', an index, or None, got 'abacus'; there are {CPUS}",
    ),
    "index": (99, ValueError, "device must be a jax device, "),
    "text": ("cpu:x", ValueError, "device must be a jax device, "),
    "beyond": ("cpu:99", ValueError, "device must be a jax device, "),
    "kind": (1.5, TypeError, "device must be a jax device, "),
}
SCHEME = {
    "name": ("leash", ValueError, "scheme must be one of sequential, synchronous, locked, hogwild, leashed"),
    "option": ("leashed:patience=1", ValueError, "'leashed' has the options persistence"),
    "value": ("leashed:persistence=-1", ValueError, "persistence must be an integer ≥ 0"),
    "recorded": ("leashed(persistence=3)", ValueError, "options are written name:key=value,key=value"),
    "kind": (3, TypeError, "scheme must be a name"),
}
SWITCH = {
    "text": ("no", TypeError, "must be True or False, got str 'no'"),
    "one": (1, TypeError, "True or False, got int 1"),
}
CALLBACK = {"switch": (True, TypeError, "or None, got bool True"), "number": (0.5, TypeError, "or None, got float 0.5")}
SECONDS = {
    "text": ("1", TypeError, "must be a number of seconds > 0, got str '1'"),
    "zero": (0, ValueError, "must be > 0 seconds, got 0"),
    "negative": (-1.0, ValueError, "must be > 0 seconds, got -1.0"),
    "nan": (float("nan"), ValueError, "must be > 0 seconds, got nan"),
    "switch": (True, TypeError, "must be a number of seconds > 0, got bool True"),
    "array": (np.ones(3), TypeError, "must be a number of seconds > 0, got float64[3]"),
}
COUNT = {
    "zero": (0, ValueError, "must be an integer ≥ 1, got 0"),
    "half": (1.5, ValueError, "must be an integer ≥ 1, got 1.5"),
    "text": ("3", ValueError, "must be an integer ≥ 1, got '3'"),
    "switch": (True, ValueError, "must be an integer ≥ 1, got True"),
}
CHOICE = {"text": ("skip", ValueError, "'pass', got 'skip'"), "list": ([1], ValueError, "'pass', got [1]")}
SEEDS = {
    "number": (3, TypeError, "seeds must be a sequence of numbers, got 3"),
    "text": ("012", TypeError, "seeds must be a sequence of numbers, got '012'"),
    "negative": ([-1], ValueError, "seeds must be one or more integers ≥ 0"),
    "many": (
        [0] * 10**5,
        ValueError,
        "seeds must be one or more integers ≥ 0, and each once, got 100000 values from 0 to 0",
    ),
}
ARMS = {
    "text": ("tail", TypeError, "arms must be a sequence of texts such as 'tail', got 'tail'"),
    "rule": (
        [jasgd.rules.tail()],
        TypeError,
        "arms must be texts such as 'tail', or of jasgd.Arm, got LibraryRule",
    ),
    "name": (["tale"], ValueError, "rule must be one of constant, "),
    "value": (["tail:cdf=middle"], ValueError, "cdf must be one of mid, strict, inclusive, got 'middle'"),
}
PROBLEM = {
    "problem": (
        type("Problem", (), COMMON)(),
        TypeError,
        "pass a function, as in lambda seed: problems.load('digits', seed=seed)",
    ),
    "name": ("digits", TypeError, "problem must be a function of a seed, got str 'digits'"),
}
LAW = {
    "text": ("windows", ValueError, "law must be one of window, "),
    "value": ("window:length=0", ValueError, "length must be an integer ≥ 1"),
    "kind": (3, TypeError, "law must be a StalenessHistogram, such as StalenessHistogram.window(), got int 3"),
}
RATE = {
    "nan": (float("nan"), ValueError, "must be a finite number > 0, got nan"),
    "text": ("0.1", TypeError, "learning_rate must be a number, got str '0.1'"),
}
STATE = {"unasked": ({"mean": jnp.zeros(2)}, ValueError, "model_state is given, so loss_fn must ask for it by name")}
MERGE = {"number": (3, TypeError, "merge must be a function")}
BAD = {
    jasgd.train: {
        "loss_fn": LOSS, "params": PARAMS, "tx": TX | TX_FUNCTIONS, "batches": BATCHES, "device": DEVICE,
        "scheme": SCHEME, "has_aux": SWITCH, "throw": SWITCH, "evaluate": CALLBACK, "on_progress": CALLBACK,
        "evaluate_every_s": SECONDS, "evaluate_every_steps": COUNT,
        "time_limit_s": SECONDS, "workers": COUNT, "steps": COUNT, "accumulate": COUNT, "on_nonfinite": CHOICE,
        "engine": {
            "number": (3, TypeError, "engine must be 'threads', 'ray' or jasgd.engines.ray(...), got int 3"),
            "unknown": ("rays", ValueError, "engine must be one of threads, ray, got 'rays'"),
            "option": ("ray:place=auto", ValueError, "place"),
        },
        "devices": {
            "none": ([], ValueError, "devices must be one or more, as jax.devices() gives, got none; there are cpu:0"),
            "text": ("cpu", TypeError, "devices must be a sequence, as jax.devices() gives, got str 'cpu': give one"),
            "beyond": (["cpu:99"], ValueError, "devices[0] must be a jax device, a platform such as 'cpu' or 'gpu:0',"),
        },
        "epochs": COUNT | {
            "function": (2, ValueError, "epochs must be None for batches that are a function of a ticket and do not"),
        },
        "target_loss": {"text": ("low", TypeError, "target_loss must be a finite number, got str 'low'")},
        "seed": {"half": (1.5, ValueError, "seed must be an integer, got 1.5")},
        "callbacks": {
            "one": (jasgd.callbacks.Callback(), TypeError, "callbacks must be a sequence of jasgd.callbacks.Callback"),
            "function": ([never], TypeError, "callbacks must be objects of jasgd.callbacks.Callback, got function"),
            "class": ([jasgd.callbacks.Callback], TypeError, "pass an object, not its class"),
        },
        "model_state": STATE, "merge": MERGE, "sigterm": SWITCH,
        "checkpoint": {"folder": ("runs", TypeError, "checkpoint must be a jasgd.Checkpoints, got str: jasgd.Check")},
        "resume": {"number": (3, TypeError, "resume must be a folder or a TrainResult, got int")},
        "first_ticket": {"negative": (-1, ValueError, "first_ticket must be an integer ≥ 0, got -1")},
    },
    jasgd.simulate: {
        "loss_fn": LOSS, "params": PARAMS, "tx": TX, "batches": BATCHES, "device": DEVICE, "scheme": SCHEME,
        "has_aux": SWITCH, "evaluate": CALLBACK, "on_progress": CALLBACK, "workers": COUNT, "steps": COUNT,
        "accumulate": COUNT, "on_nonfinite": CHOICE, "seeds": SEEDS, "evaluate_every_steps": COUNT,
        "lanes": {"text": ("all", ValueError, "or 'vmap', got 'all'")},
        "cluster": {"text": ("fast", TypeError, "cluster must be a jasgd.Cluster, got 'fast'")},
        "model_state": STATE, "merge": MERGE,
    },
    jasgd.replay: {
        "loss_fn": LOSS, "tx": TX | TX_FUNCTIONS, "batches": BATCHES, "device": DEVICE, "strict": SWITCH,
        "result": {
            "folder": ("runs/one", TypeError, "result must be a TrainResult, got str 'runs/one'"),
            "simulation": (
                jasgd.Simulation((0,), (None,), {(0, None): RESULT}, 1.0), TypeError, "as in simulation[0]",
            ),
        },
        "merge": MERGE,
        "upto": {"beyond": (5, ValueError, "upto must be an integer in 0…4"), "text": ("3", ValueError, "got '3'")},
    },
    jasgd.compare: {
        "problem": PROBLEM, "arms": ARMS, "seeds": SEEDS, "workers": COUNT, "learning_rate": RATE, "scheme": SCHEME,
        "steps": COUNT, "epochs": COUNT, "accumulate": COUNT, "time_limit_s": SECONDS, "law": LAW,
        "on_progress": CALLBACK, "on_result": CALLBACK, "evaluate_every_s": SECONDS, "evaluate_every_steps": COUNT,
        "momentum": {"one": (1.0, ValueError, "momentum must lie in [0, 1), got 1.0")},
        "optimizer": {"name": ("lion", ValueError, "optimizer must be sgd or adam, got 'lion'")},
    },
    jasgd.sweep: {
        "problem": PROBLEM, "arms": ARMS, "seeds": SEEDS, "scheme": SCHEME, "steps": COUNT, "law": LAW,
        "on_progress": CALLBACK, "on_result": CALLBACK, "evaluate": SWITCH,
        "workers": {
            "number": (3, TypeError, "workers must be a sequence of integers, got 3"),
            "zero": ([0], ValueError, "workers must be one or more integers ≥ 1"),
        },
        "learning_rates": {
            "number": (0.1, TypeError, "learning_rates must be a sequence of numbers, got 0.1"),
            "text": (["a"], TypeError, "learning_rates must be numbers > 0, got str 'a'"),
        },
        "tuning_seeds": {"one rate": ([1], ValueError, "tuning_seeds need several learning_rates to choose from")},
        "clusters": {"one": (cluster.Cluster(compute_s=1.0), TypeError, "must be a mapping from labels to jasgd.Clus")},
        "momentum": {"one": (1.0, ValueError, "momentum must lie in [0, 1), got 1.0")},
        "optimizer": {"name": ("lion", ValueError, "optimizer must be sgd or adam, got 'lion'")},
    },
}  # fmt: skip
CASES = [
    pytest.param(function, argument, *case, id=f"{function.__name__}-{argument}-{name}")
    for function, arguments in BAD.items()
    for argument, cases in arguments.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize(("function", "argument", "value", "error", "message"), CASES)
def test_a_bad_argument_is_refused_by_name_before_anything_is_called(function, argument, value, error, message):
    with pytest.raises(error) as refused:
        function(**GOOD[function] | {argument: value})
    assert message in str(refused.value)
    assert argument.removesuffix("s") in str(refused.value) or message.startswith(
        ("'leashed'", "persistence", "rule", "cdf", "length")
    )
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("function", BAD)
def test_the_table_has_every_argument(function):
    taken = {*inspect.signature(function).parameters}
    left = {"learning_rates", "execution", "evaluate"} if function is jasgd.simulate else {"target_loss", "opt_state"}
    assert taken - set(BAD[function]) <= left


SMALL = {
    "fit of a result": (
        lambda: fits.fit(RESULT),
        TypeError,
        "law must be a StalenessHistogram, got TrainResult .*: pass its .law",
    ),
    "fit of an execution": (lambda: fits.fit(EXECUTION), TypeError, "got Execution .*: pass its .staleness"),
    "plot": (lambda: report.plot("run", "folder"), TypeError, "result must be a TrainResult, got str 'run'"),
    "plot of a comparison": (
        lambda: report.plot_comparison(RESULT, "folder"),
        TypeError,
        "comparison must be a Comparison",
    ),
    "plot of a spectrum": (lambda: report.plot_spectrum(RESULT, "folder"), TypeError, "spectrum must be a Spectrum"),
    "by_seed": (lambda: jasgd.by_seed(3), TypeError, "of must be a function of a seed, got int 3"),
    "cluster of a run": (
        lambda: cluster.measured_from(EXECUTION),
        TypeError,
        "result must be a TrainResult, got Execution",
    ),
    "rule": (lambda: jasgd.staleness_adaptive("tale"), ValueError, "rule must be one of constant, .*, got 'tale'"),
    "rule option": (lambda: jasgd.staleness_adaptive("mishchenko"), ValueError, "needs the options? "),
    "rule by distance": (
        lambda: jasgd.distance_adaptive("tale"),
        ValueError,
        "one of tail, parabola, .*'tale'",
    ),
    "window by distance": (
        lambda: jasgd.distance_adaptive(window=0),
        ValueError,
        "window must be an integer ≥ 1, got 0",
    ),
    "measure": (lambda: jasgd.distance_adaptive(measure="way"), ValueError, "measure must be one of distance, path"),
    "rule by distance for the staleness": (
        lambda: jasgd.staleness_adaptive(jasgd.distances.parabola()),
        TypeError,
        r"got parabola\(kappa=0.3\): it goes into jasgd.distance_adaptive",
    ),
    "law": (lambda: jasgd.staleness_adaptive("tail", "windows"), ValueError, "law must be one of window, "),
    "time": (lambda: jasgd.Cluster(compute_s="gamma:mean_s=1"), ValueError, "compute_s: .*needs the option shape"),
    "stragglers": (lambda: jasgd.Cluster(compute_s=1, stragglers="often"), ValueError, "stragglers: "),
    "pauses": (
        lambda: jasgd.Cluster(compute_s=1, pauses="every_s=1,duration_s=often"),
        ValueError,
        "pauses: .*duration_s",
    ),
    "many times": (lambda: cluster.measured([-1.0] * 10**5), ValueError, "times_s must be .* got .{,60}$"),
    "many speeds": (lambda: cluster.Tempo([1.0] * 10**4, [1.0] * 10**4), ValueError, "ends_s must be .* got .{,60}$"),
    "many probabilities": (
        lambda: cluster.independent([1.0] * 10**4, steps=3),
        ValueError,
        "law must be .* got .{,60}$",
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_functions_of_results_and_models_refuse_by_name_and_briefly(name):
    call, error, message = SMALL[name]
    with pytest.raises(error, match=message) as refused:
        call()
    assert len(str(refused.value)) < 400
