"""Runs drawn at random, by number: a model, a rule, an optimizer, a scheme and workers."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from support.problems import network

import jasgd


def with_aux():
    params, loss_fn, batches = network(3, (12, 24, 4))

    def loss_and_aux(params, batch):
        loss = loss_fn(params, batch)
        return loss, {"scaled": 0.3 * loss, "largest": jnp.abs(params["dense0"]["kernel"]).max()}

    return params, loss_and_aux, batches


def half_precision():
    params, loss_fn, batches = network(4, (12, 16, 4))
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params), loss_fn, batches


def convolutional():
    """A convolution and a scan, whose kernels differ from those of a dense network."""
    key = jax.random.key(5)
    params = (jax.random.normal(key, (3, 1, 8)) * 0.3, jax.random.normal(key, (8, 4)) * 0.3)
    _, _, batches = network(5)

    def loss_fn(params, batch):
        x, y = batch
        h = jax.lax.conv_general_dilated(x[..., None], params[0], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        total, _ = jax.lax.scan(lambda carry, row: (0.9 * carry + jnp.tanh(row), None), h[:, 0], h.swapaxes(0, 1))
        return optax.losses.softmax_cross_entropy_with_integer_labels(total @ params[1], y).mean()

    return params, loss_fn, batches


MODELS = {
    "small": lambda: network(0, (12, 16, 4)),
    "deep": lambda: network(1, (12, 16, 16, 16, 4)),
    "wide": lambda: network(2, (12, 256, 256, 4)),  # leaves of more than 100 KiB
    "aux": with_aux,
    "half": half_precision,
    "convolutional": convolutional,
}
RULES = {
    "constant": jasgd.rules.constant,
    "inverse": jasgd.rules.inverse,
    "exponential": lambda: jasgd.rules.normalized(jasgd.rules.exponential(beta=0.1)),
    "tail": jasgd.rules.tail,
    "strict": lambda: jasgd.rules.tail(cdf="strict"),
    "own": lambda: lambda staleness, law: 2.0 / (1.0 + (staleness > law.mean())),
}
OPTIMIZERS = {
    "sgd": lambda adaptive: optax.chain(adaptive, optax.sgd(0.05)),
    "momentum": lambda adaptive: optax.chain(adaptive, optax.sgd(0.02, momentum=0.9)),
    "adam": lambda adaptive: optax.chain(optax.adam(1e-2), adaptive),
    "clipped": lambda adaptive: optax.chain(adaptive, optax.clip_by_global_norm(1.0), optax.adamw(1e-2)),
    "compensated": lambda adaptive: optax.chain(jasgd.delay_compensated(0.5), adaptive, optax.sgd(0.05)),
}
SCHEMES = {
    "sequential": lambda draw: "sequential",
    "synchronous": lambda draw: jasgd.schemes.synchronous(native=False),
    "native synchronous": lambda draw: jasgd.schemes.synchronous(native=True),
    "locked": lambda draw: jasgd.schemes.locked(native=False),
    "reference": lambda draw: jasgd.schemes.locked(
        reading="reference", max_staleness=draw.choice([None, 3]), native=False
    ),
    "leashed": lambda draw: jasgd.schemes.leashed(native=False),
    "native locked": lambda draw: jasgd.schemes.locked(native=True, max_staleness=draw.choice([None, 3])),
    "native leashed": lambda draw: jasgd.schemes.leashed(native=True, persistence=draw.choice([None, 1])),
    "bounded": lambda draw: jasgd.schemes.leashed(
        persistence=draw.randrange(3), max_staleness=draw.choice([None, 4]), native=False
    ),
}


@dataclasses.dataclass
class Case:
    """A run drawn at random, by number."""

    index: int
    model: str
    rule: str
    optimizer: str
    scheme: str
    workers: int
    steps: int
    draw: random.Random

    @classmethod
    def of(cls, index: int) -> "Case":
        draw = random.Random(index)
        chosen = {
            name: draw.choice(sorted(table))
            for name, table in (("model", MODELS), ("rule", RULES), ("optimizer", OPTIMIZERS))
        }
        scheme = sorted(SCHEMES)[index % len(SCHEMES)]  # each about as often
        workers = 1 if scheme == "sequential" else draw.randint(1, 16)
        return cls(index, **chosen, scheme=scheme, workers=workers, steps=draw.randint(30, 150), draw=draw)

    def given(self) -> tuple[Any, Callable, Any, Callable]:
        """Parameters, loss, transformation and batches."""
        params, loss_fn, batches = MODELS[self.model]()
        return params, loss_fn, OPTIMIZERS[self.optimizer](jasgd.staleness_adaptive(RULES[self.rule]())), batches

    def train(self) -> jasgd.TrainResult:
        params, loss_fn, tx, batches = self.given()
        return jasgd.train(
            loss_fn, params, tx, batches, scheme=SCHEMES[self.scheme](self.draw), workers=self.workers,
            steps=self.steps, has_aux=self.model == "aux",
        )  # fmt: skip

    def load(self, folder: Path) -> jasgd.TrainResult:
        params, _, tx, _ = self.given()
        return jasgd.TrainResult.load(folder / str(self.index), params_like=params, opt_state_like=tx.init(params))

    def replay(self, result: jasgd.TrainResult, **options: Any) -> jasgd.Replay:
        _, loss_fn, tx, batches = self.given()
        return jasgd.replay(result, loss_fn, tx, batches, **options)
