"""Small runs of several kinds, as they are saved, and the runs that earlier versions saved.

``python tests/support/saved_runs.py FOLDER`` saves them into a folder; ``tests/data/runs/version-N`` was made so, once,
by the last code that wrote version N. Tests load each for ever.
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jasgd
from jasgd.experiments.recipe import Recipe
from jasgd.record.saving.folder import adding
from jasgd.record.trees import to_json

VERSIONS = Path(__file__).parent.parent / "data" / "runs"


class Layer(NamedTuple):
    """Parameters whose leaves have attributes for paths."""

    kernel: jax.Array
    bias: jax.Array


class Noise(NamedTuple):
    """The state of an optimizer that draws random numbers."""

    key: jax.Array


def noisy() -> optax.GradientTransformation:
    """Adds noise to the updates, drawn with a typed key."""

    def update(updates, state, params=None):
        key, drawn = jax.random.split(state.key)
        return jax.tree.map(lambda u: u + 1e-3 * jax.random.normal(drawn, u.shape, u.dtype), updates), Noise(key)

    return optax.GradientTransformation(lambda params: Noise(jax.random.key(7)), update)


def params():
    """Leaves of the same shapes, also at paths that look alike; one is bfloat16."""
    ones = jnp.linspace(0.5, 1.5, 4)
    return {
        "dense": Layer(ones, ones / 2),
        "scale": jnp.ones(2, jnp.bfloat16),
        "0": [ones + 1, jnp.float32(2.0)],
        "a/b": {"file": ones - 1},
        "empty": {3: jnp.zeros((0, 2))},
    }


def loss(p, batch):
    """A loss with gradients for all leaves, and aux."""
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(p)]
    value = sum(jnp.sum((leaf - batch) ** 2) for leaf in leaves)
    return value, {"doubled": 2 * value, "file": {"of last/one": value}}


def batches(ticket):
    return np.float32(ticket % 3)


def adam():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), noisy(), optax.adam(1e-2))


def sgd():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(1e-3, momentum=0.5))


def _threads():
    return jasgd.train(
        loss, params(), adam(), batches, scheme=jasgd.schemes.leashed(persistence=0), workers=4, steps=60, has_aux=True,
        evaluate=lambda p: {"loss": 1.0, "nan": np.nan},
    )  # fmt: skip


def _native():
    return jasgd.train(
        lambda w, b: jnp.sum((w - b) ** 2), jnp.arange(3.0), sgd(), batches, workers=2, steps=40,
        scheme=jasgd.schemes.locked(native=True, max_staleness=0),
    )  # fmt: skip


def _simulated():
    cluster = jasgd.Cluster(compute_s=1.0)
    start = {"w": jnp.arange(3.0)}
    loss_fn = lambda p, b: jnp.sum((p["w"] - b) ** 2)  # noqa: E731
    return jasgd.simulate(loss_fn, start, sgd(), batches, cluster=cluster, workers=3, steps=30, seeds=(0,))[0]


def _failed():
    def broken(ticket):
        if ticket > 5:
            raise OSError("gone")
        return batches(ticket)

    result = jasgd.train(loss, params(), sgd(), broken, workers=2, steps=40, has_aux=True, throw=False)
    here = str(Path(__file__).parent.parent.parent) + "/"
    return dataclasses.replace(result, traceback=result.traceback.replace(here, ""))  # of whatever machine it was


#: What is saved beside the simulated run, as the command line saves it beside its own.
RECIPE = Recipe(
    dataset="digits", model="mlp", batch_size=16, seed=3, preset="published", data_dir=None, download=False,
    rule="tail", law="cumulative", optimizer="sgd", learning_rate=0.1, momentum=0.5, workers=3,
)  # fmt: skip
#: name → what makes the run, its parameters at the start, and its transformation.
KINDS = {
    "threads": (_threads, params, adam),
    "native": (_native, lambda: jnp.arange(3.0), sgd),
    "simulated": (_simulated, lambda: {"w": jnp.arange(3.0)}, sgd),
    "failed": (_failed, params, sgd),
}


def content(result):
    """All of a result that was loaded without structures, in values that JSON can hold."""

    def described(column):
        array = np.asarray(column)
        return f"{array.dtype.name}{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:32]}"

    trees = ("params", "opt_state", "initial_params", "aux", "timings")
    return {
        **{name: {path: described(leaf) for path, leaf in getattr(result, name).items()} for name in trees},
        **{name: getattr(result, name) for name in ("message", "counters", "duration_s")},
        "execution": {name: sha256[:32] for name, sha256 in result.execution.hashes().items()},
        "workers": result.execution.workers,
        "outcome": str(result.outcome),
        "evaluations": to_json(result.evaluations),
        "traceback": bool(result.traceback),
        "stuck": len(result.stuck),
    }


if __name__ == "__main__":
    jasgd.configure_cpu()
    folder = Path(sys.argv[1])
    for name, (make, *_) in KINDS.items():
        make().save(folder / name)
    contents = {name: content(jasgd.TrainResult.load(folder / name)) for name in KINDS}
    (folder / "expected.json").write_text(json.dumps(contents, indent=1) + "\n")
    with adding(folder / "simulated") as draft:
        RECIPE.write(draft)
