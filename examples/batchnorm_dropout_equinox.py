"""A network of Equinox with batch normalisation and dropout, on handwritten digits.

    python examples/batchnorm_dropout_equinox.py

Equinox parts a model by itself: ``eqx.partition`` gives the arrays that are trained, and everything else, functions
among it, which the loss closes over. The running statistics lie in an ``eqx.nn.State``, which is the model state as it
is. Its counters count the gradients of all workers, and dropout takes its masks from ``key``.
"""

import functools

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402


class ResNet(eqx.Module):
    first: eqx.nn.Conv2d
    conv1: eqx.nn.Conv2d
    conv2: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm
    norm2: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    dense: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        conv = functools.partial(eqx.nn.Conv2d, kernel_size=3, padding=1, use_bias=False)
        norm = functools.partial(eqx.nn.BatchNorm, 16, axis_name="batch", momentum=0.9, mode="batch")
        self.first = eqx.nn.Conv2d(1, 16, 3, stride=2, padding=1, key=keys[0])
        self.conv1, self.conv2 = conv(16, 16, key=keys[1]), conv(16, 16, key=keys[2])
        self.norm1, self.norm2 = norm(), norm()
        self.dropout, self.dense = eqx.nn.Dropout(0.2), eqx.nn.Linear(16, 10, key=keys[3])

    def __call__(self, x, state, key=None):
        x = jax.nn.relu(self.first(x))
        y, state = self.norm1(self.conv1(x), state)
        y, state = self.norm2(self.conv2(jax.nn.relu(y)), state)
        x = jax.nn.relu(x + y).mean(axis=(1, 2))
        return self.dense(self.dropout(x, key=key)), state


class Task:
    """A network on the digits: what jasgd.train takes, and how accurate it is."""

    def __init__(self, seed=0):
        digits = load_digits()
        x, y = np.float32(digits.images[:, None] / 16), np.int32(digits.target)
        self.test, self.batches = (x[1400:], y[1400:]), jasgd.minibatches((x[:1400], y[:1400]), 32, seed=seed)
        model, self.model_state = eqx.nn.make_with_state(ResNet)(jax.random.key(seed))
        self.params, self.static = eqx.partition(model, eqx.is_inexact_array)

    def loss_fn(self, params, batch, key, model_state):
        model, keys = eqx.combine(params, self.static), jax.random.split(key, len(batch[0]))
        # The statistics are those of the whole batch, which is what the name of the mapped axis is for.
        mapped = jax.vmap(model, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
        logits, new_state = mapped(batch[0], model_state, keys)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean(), new_state

    @functools.cached_property
    def tested(self):
        @jax.jit
        def tested(params, model_state, x, y):
            model = eqx.nn.inference_mode(eqx.combine(params, self.static))  # running statistics, no dropout
            logits, _ = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(x, model_state)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return {"loss": loss, "accuracy": (logits.argmax(axis=1) == y).mean()}

        return tested

    def evaluate(self, params, model_state):
        return self.tested(params, model_state, *self.test)

    def train(self, scheme, workers, steps, seed=0):
        tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05, momentum=0.9))
        result = jasgd.train(
            self.loss_fn,
            self.params,
            tx,
            self.batches,
            scheme=scheme,
            workers=workers,
            steps=steps,
            model_state=self.model_state,
            evaluate=self.evaluate,
            evaluate_every_s=float("inf"),
            seed=seed,
        )
        return result, tx


def main():
    task = Task()
    result, tx = task.train("locked", workers=2, steps=300)
    print(result.summary())
    counted = [leaf for leaf in jax.tree.leaves(result.model_state) if leaf.dtype == np.int32]
    print(f"The state's counters counted {', '.join(str(int(count)) for count in counted)} gradients")
    print(jasgd.replay(result, task.loss_fn, tx, task.batches).summary())


if __name__ == "__main__":
    main()
