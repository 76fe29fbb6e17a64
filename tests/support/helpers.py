"""Small problems and loops that several tests share."""

import itertools
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jasgd import schemes
from jasgd.experiments.arms import Arm
from jasgd.experiments.comparison import Comparison
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult
from jasgd.schemes.native import build as native_build
from jasgd.schemes.selection import WITH_NATIVE
from jasgd.testing import Interleaving, watched


def network(seed: int = 0, sizes=(12, 16, 16, 4)):
    """Parameters, loss and batches of a small classifier on data from a seed, in a nested dict as users have it."""
    rng = np.random.default_rng(seed)
    layers = {
        f"dense{i}": {"kernel": jnp.asarray(rng.normal(0, (2 / m) ** 0.5, (m, n)), jnp.float32), "bias": jnp.zeros(n)}
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    }
    inputs = rng.normal(size=(256, sizes[0])).astype(np.float32)
    labels = (inputs @ rng.normal(size=(sizes[0], sizes[-1]))).argmax(axis=1).astype(np.int32)

    def loss_fn(params, batch):
        x, y = batch
        *hidden, last = sorted(params)
        for name in hidden:
            x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"])
        logits = x @ params[last]["kernel"] + params[last]["bias"]
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def batches(ticket):
        rows = np.random.default_rng([seed, ticket]).integers(0, len(inputs), 16)
        return inputs[rows], labels[rows]

    return layers, loss_fn, batches


def optimizers():
    """The optimizers of the bit-for-bit promises, by name."""
    return {
        "sgd": lambda: optax.sgd(0.05),
        "momentum": lambda: optax.sgd(0.05, momentum=0.9),
        "adam": lambda: optax.adam(1e-2),
    }


def plain_optax(loss_fn, params, tx, tickets):
    """The loop that Optax's documentation shows: a jitted gradient, and a jitted update with apply_updates.

    ``tickets`` yields the batches of one step each as a list; several are averaged in order.
    """
    gradient = jax.jit(jax.value_and_grad(loss_fn))

    @jax.jit
    def apply(params, state, grads):
        mean = grads[0]
        for other in grads[1:]:
            mean = jax.tree.map(jnp.add, mean, other)
        if len(grads) > 1:
            mean = jax.tree.map(lambda g: g / len(grads), mean)
        updates, state = tx.update(mean, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for batches in tickets:
        grads = [gradient(params, batch)[1] for batch in batches]
        params, state = apply(params, state, grads)
    return params, state


def same_bits(a, b) -> bool:
    """Whether two pytrees of arrays agree in structure, dtype, shape and every bit."""
    x, y = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(x) == len(y) and all(
        p.dtype == q.dtype and p.shape == q.shape and np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(x, y, strict=True)
    )


def counting(size: int = 4096):
    """A problem whose parameters count the updates: gradient -1, learning rate 1, so that every component of version
    k is k, and the loss of a gradient tells, to whoever owes the ledger nothing, which version it was computed on."""

    def loss_fn(params, batch):
        smallest = jnp.minimum(params["a"].min(), params["b"].min())
        largest = jnp.maximum(params["a"].max(), params["b"].max())
        # The value is the version; the gradient with respect to every component is -1.
        total = params["a"].sum() + params["b"].sum()
        loss = smallest - (total - jax.lax.stop_gradient(total))
        loss = loss - smallest + jax.lax.stop_gradient(smallest)
        return loss, {"min": smallest, "max": largest}

    params = {"a": jnp.zeros(size), "b": jnp.zeros((3, size // 2))}
    return params, loss_fn, lambda ticket: np.float32(0)


class Task:
    """A problem as ``jasgd.experiments.comparison.compare`` wants it, small."""

    name = "network"

    def __init__(self, seed):
        self.params, self.loss_fn, self.batches = network(seed)

    def evaluate(self, params):
        return {"loss": self.loss_fn(params, self.batches(10**6)), "accuracy": 0.5}


class Parabola:
    """A problem that compiles fast."""

    name = "parabola"

    def __init__(self, seed):
        self.params = jnp.full(8, 1.0 + seed)

    def loss_fn(self, params, batch):
        return jnp.mean((params - batch) ** 2)

    def batches(self, ticket):
        return np.zeros(8, np.float32)

    def evaluate(self, params):
        return {"loss": float(self.loss_fn(params, self.batches(0)))}


def moved(tx, taus=(3, 0)):
    """How far gradients of 1 with these values of staleness move a scalar."""
    state, total = tx.init(jnp.zeros(())), 0.0
    for tau in taus:
        updates, state = tx.update(jnp.ones(()), state, jnp.zeros(()), staleness=tau)
        total += float(updates)
    return total


def result_of(losses, *, outcome=Outcome.FINISHED, factor=1.0, staleness=0, evaluations=(), rate=100.0, dropped=0):
    """A run by hand: a commit every 1/rate seconds, each as stale, as far as there are versions to be stale by."""
    rows = np.zeros(len(losses), row_dtype(dropped=False))
    rows["version"] = np.arange(len(losses))
    rows["version_read"] = np.maximum(rows["version"] - staleness, 0)
    rows["staleness"] = rows["version"] - rows["version_read"]
    rows["ticket"], rows["loss"], rows["factor"], rows["tries"] = rows["version"], losses, factor, 1
    rows["time_s"] = (1 + rows["version"]) / rate
    execution = Execution.from_rows(rows, np.zeros(dropped, row_dtype(dropped=True)), {"workers": 1, "in_flight": []})
    return TrainResult(
        {}, (), execution, outcome, "by hand", list(evaluations), {}, {}, float(len(losses) / rate)
    )  # fmt: skip


def with_times(execution, times):
    """The same execution, committed at these times in seconds."""
    rows = np.zeros(len(execution), row_dtype(dropped=False))
    for name in rows.dtype.names:
        rows[name] = getattr(execution, name)
    rows["time_s"] = times
    return Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), execution.metadata)


def by_hand(**arms):
    """A comparison of runs that are made by hand: for each arm a list of results, by seed."""
    settings = {"workers": 8, "scheme": "leashed"}
    labels = {name.replace("control", "constant@tail"): results for name, results in arms.items()}
    runs = {label: dict(enumerate(results)) for label, results in labels.items()}
    parsed = tuple(Arm.parse(label) for label in labels)
    return Comparison("by hand", parsed, tuple(range(3)), settings, runs)


def overtaken(setup):
    """Leashed-SGD in which worker 1 is overtaken at its first gradient, in every run."""
    overtaking = Interleaving([(1, "read"), (0, "read"), (0, "publish"), (1, "publish")])
    return watched(schemes.leashed(), overtaking)(setup)


#: for tests that compile native.cc
needs_compiler = pytest.mark.skipif(
    not (os.environ.get("CXX") or any(map(shutil.which, native_build.COMPILERS))), reason="needs a C++ compiler"
)
NATIVE = {f"{name}, native": schemes.named(name, native=True) for name in WITH_NATIVE}
#: every scheme; where there are native rounds, the name alone is without
EVERY = {
    name: schemes.named(name, **{"native": False} if name in WITH_NATIVE else {}) for name in schemes.SCHEMES
} | NATIVE


def ids(names):
    """Names of schemes as parameters; native ones need a compiler."""
    return [pytest.param(name, marks=needs_compiler if "native" in name else ()) for name in names]
