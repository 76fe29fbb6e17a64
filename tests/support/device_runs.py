"""Runs in a process with four CPU devices: what tests/training/test_devices.py asks of each, as one JSON object.

The compilations of a run are counted from its first evaluation, which comes right before the clock starts, to its end.
Workers that do not wait for each other do so once, so that each of them computes before the last step.
"""

import json
import tempfile
import threading
import warnings
from collections import defaultdict

import jasgd

jasgd.configure_cpu()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from support.every_scheme import EVERY  # noqa: E402

from jasgd.replaying.rerun import Rerun  # noqa: E402
from jasgd.training.aux_columns import AuxColumns  # noqa: E402


def the_devices():
    """Home is not the default device."""
    return ["cpu:1", 2, jax.devices()[3], "cpu:0"]


ROWS = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
SCHEMES = {name: scheme for name, scheme in EVERY.items() if "native" not in name} | {
    "locked, carry": jasgd.schemes.locked(reading="carry", native=False),
}
compiled: list[str] = []
seen: dict[int, set[str]] = defaultdict(set)  # by worker, the devices of its gradients' aux, where they were computed


def note(columns, worker, ticket, aux, noted=AuxColumns.note):
    seen[worker] |= names_of(aux)
    noted(columns, worker, ticket, aux)


def compare(rerun, row, one, factor, compared=Rerun._compare):
    seen[one.worker] |= names_of(one.aux)
    compared(rerun, row, one, factor)


def watch():
    """Notes where aux lies and what is compiled; in this process alone, as the collection of doctests imports this."""
    AuxColumns.note, Rerun._compare = note, compare
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: compiled.append(name) if "compile" in name or "trace" in name else None
    )


def names_of(tree):
    return {f"cpu:{device.id}" for leaf in jax.tree.leaves(tree) for device in leaf.devices()}


def loss_fn(params, batch):
    outputs = batch @ params["w"] + params["b"]
    return jnp.mean(outputs**2), {"largest": jnp.max(outputs), "sum": outputs.sum()}


def start():
    return {"w": jnp.ones((8, 3)), "b": jnp.ones(3)}


def adaptive():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01, momentum=0.5))


def after_all_have_come(draw, workers):
    """The same mini-batches, for which each thread waits at its first call until all workers have made one."""
    barrier, came = threading.Barrier(workers, timeout=60), threading.local()

    def batches(ticket):
        if threading.current_thread() is not threading.main_thread() and not hasattr(came, "once"):
            came.once = barrier.wait()
        return draw(ticket)

    return batches


def train(scheme, tx=None, loss=loss_fn, batches=None, **options):
    """A run, and what was compiled while it went on."""
    began: list[int] = []
    batches = batches or jasgd.minibatches(ROWS, 8)

    def evaluate(params):
        began.append(len(compiled))
        return 0.0

    arguments = {"workers": 1 if scheme == "sequential" else 4, "steps": 280, "devices": the_devices(), "has_aux": True}
    seen.clear()
    result = jasgd.train(
        loss, start(), tx or adaptive(), batches, scheme=SCHEMES.get(scheme, scheme),
        evaluate=evaluate, evaluate_every_s=99, **arguments | options,
    )  # fmt: skip
    return result, compiled[began[0] :]


def taken():
    """Which devices each worker has computed on since this was last asked."""
    found = {str(worker): sorted(devices) for worker, devices in sorted(seen.items())}
    seen.clear()
    return found


def of_scheme(scheme):
    batches, options = jasgd.minibatches(ROWS, 8), {}
    if scheme == "synchronous":
        options = {"steps": 80}
    elif scheme != "sequential":
        options = {"batches": after_all_have_come(batches, workers=4)}
    result, compiled_meanwhile = train(scheme, **options)
    workers = taken()
    again = jasgd.replay(result, loss_fn, adaptive(), batches)
    metadata = result.execution.metadata
    return {
        "outcome": result.outcome,
        "metadata": {name: metadata[name] for name in ("devices", "device_kinds", "native", "why_not_native")},
        "results_on": sorted(names_of((result.params, result.opt_state))),
        "compiled": compiled_meanwhile,
        "workers": workers,
        "replayed_workers": taken(),
        "replayed_on": sorted(names_of((again.params, again.opt_state))),
        "exact": again.exact,
        "aux": [len(result.aux[name]) == len(result.execution) for name in ("largest", "sum")],
    }


def saved():
    """Whether a run replays exactly, when it was loaded."""
    with tempfile.TemporaryDirectory() as folder:
        train("leashed", steps=50)[0].save(f"{folder}/run")
        loaded = jasgd.TrainResult.load(f"{folder}/run", params_like=start(), opt_state_like=adaptive().init(start()))
        return jasgd.replay(loaded, loss_fn, adaptive(), jasgd.minibatches(ROWS, 8)).exact


def with_extras():
    """The transformation asks for what was read and for the worker, batches for the worker, a loss for a key."""

    def init(params):
        return jnp.zeros((), jnp.int32)

    def update(updates, state, params=None, *, read_params, worker, **_):
        apart = jax.tree.map(lambda u, p, r: u + 0.1 * (p - r), updates, params, read_params)
        return apart, state + worker

    def tx():
        chained = optax.GradientTransformationExtraArgs(init, update)
        return optax.chain(chained, jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01))

    def loss(params, batch, key):
        return loss_fn(params, batch * jax.random.bernoulli(key, 0.9, batch.shape))

    def batches(ticket, worker):  # on a device of its own
        return jax.device_put(ROWS[worker : worker + 4] + np.float32(ticket % 3), jax.devices()[(worker + 2) % 4])

    found = {}
    for scheme, of in {"leashed": loss, "hogwild": loss_fn}.items():
        result, meanwhile = train(scheme, tx(), of, batches, steps=100)
        workers = taken()
        exact = scheme == "hogwild" or jasgd.replay(result, of, tx(), batches).exact
        found[scheme] = {"outcome": result.outcome, "compiled": meanwhile, "workers": workers, "exact": exact}
    return found


def refused(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "not refused"


def refusals():
    def of(devices, **more):
        return refused(lambda: train("leashed", devices=devices, **more))

    result, _ = train("leashed", steps=20)
    arguments = result, loss_fn, adaptive(), jasgd.minibatches(ROWS, 8)
    found = {
        "replay elsewhere": refused(lambda: jasgd.replay(*arguments, device="cpu:1")),
        "native": refused(lambda: train("leashed:native=true")),
        "both": of(["cpu:0"], device="cpu:0"),
        "none": of([]),
        "text": of("cpu:1"),
        "device": of(jax.devices()[1]),
        "number": of(3),
        "generator": of(d for d in jax.devices()),
        "none among them": of(["cpu:0", None]),
        "not there": of(["cpu:0", "cpu:4"]),
        "kind": of([1.5]),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        taken()
        found["not strict is exact"] = jasgd.replay(*arguments, device="cpu:2", strict=False).exact
        found["not strict"] = [str(w.message) for w in caught]
        found["not strict workers"] = taken()
    result.execution.metadata["devices"][1] = "cpu:9"
    found["replay without"] = refused(lambda: jasgd.replay(*arguments))
    return found


def others():
    found = {}
    result, _ = train("leashed", devices=[2, 2, "cpu:1"], steps=50)  # one that shall have twice as many workers
    found["twice"] = result.execution.metadata["devices"]
    result, _ = train("leashed", devices=np.array(jax.devices())[:2], steps=50)
    found["array"] = result.execution.metadata["devices"]
    result, _ = train("hogwild", devices=None, device="cpu:2", steps=50)
    found["hogwild on one"] = sorted(names_of((result.params, result.opt_state)))
    for name, options in {"device": {"device": "cpu:2", "devices": None}, "devices": {}}.items():
        result, _ = train("leashed", optax.sgd(1e30), steps=50, throw=False, **options)
        found[f"diverged, {name}"] = [result.outcome, sorted(names_of(result.params))]
    found["threads"] = result.execution.metadata["environment"]["threads"]
    one = jasgd.train(
        loss_fn, start(), adaptive(), jasgd.minibatches(ROWS, 8), scheme="leashed", workers=2, steps=50, has_aux=True,
        devices=["cpu:3"],
    )  # fmt: skip
    found["only one"] = [one.execution.metadata["devices"], one.execution.metadata["why_not_native"]]
    found["only one, replayed"] = [
        jasgd.replay(one, loss_fn, adaptive(), jasgd.minibatches(ROWS, 8), device=device).exact
        for device in (None, "cpu:3")
    ]
    return found


def in_parts():
    """A run that other devices go on with, among them one part that was told none."""
    batches, result, meanwhile = jasgd.minibatches(ROWS, 8), None, []
    with tempfile.TemporaryDirectory() as folder:
        for i, (scheme, devices, workers) in enumerate(
            (("leashed", the_devices(), 4), ("locked", None, 2), ("synchronous", ["cpu:3", "cpu:1"], 2))
        ):
            result, _ = train(scheme, devices=devices, workers=workers, steps=40 * (i + 1), resume=result)
            meanwhile.append(taken())
            result.save(f"{folder}/{i}")
            result = jasgd.TrainResult.load(
                f"{folder}/{i}", params_like=start(), opt_state_like=adaptive().init(start())
            )
    again = jasgd.replay(result, loss_fn, adaptive(), batches)
    metadata = result.execution.metadata
    found = {
        "parts": [[part["from_version"], list(part.get("devices", []))] for part in metadata["parts"]],
        "meanwhile": meanwhile, "replayed": taken(), "exact": again.exact,
        "on": sorted(names_of((again.params, again.opt_state))),
    }  # fmt: skip
    metadata["parts"][0]["device_kinds"]["cpu:2"] = "other"
    metadata["parts"][2]["devices"][1] = "cpu:9"
    return found | {"refused": refused(lambda: jasgd.replay(result, loss_fn, adaptive(), batches))}


if __name__ == "__main__":
    watch()
    schemes = {name: of_scheme(name) for name in SCHEMES}
    print(json.dumps({
        "schemes": schemes, "saved": saved(), "extras": with_extras(), "refusals": refusals(), "others": others(),
        "parts": in_parts(),
    }))  # fmt: skip
