"""A residual network of Flax NNX with batch normalisation and dropout, on handwritten digits or CIFAR-10.

    python examples/batchnorm_dropout_nnx.py
    python examples/batchnorm_dropout_nnx.py cifar10

The running statistics are the model state: the loss is given them as ``model_state`` and returns new ones, the scheme
publishes them with the parameters, and ``evaluate`` asks for them. Dropout takes its mask from ``key``, which jasgd
makes of seed and ticket. You will see what happens without: a model that is merged anew for each gradient has the same
random state each time, and so one mask for ever.
"""

import functools
import sys

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from flax import nnx  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from jasgd import problems  # noqa: E402


class Block(nnx.Module):
    def __init__(self, inputs, outputs, stride, rngs):
        self.conv1 = nnx.Conv(inputs, outputs, (3, 3), stride, use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs)
        self.conv2 = nnx.Conv(outputs, outputs, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs)
        self.shortcut = nnx.Conv(inputs, outputs, (1, 1), stride, use_bias=False, rngs=rngs)

    def __call__(self, x):
        y = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class ResNet(nnx.Module):
    def __init__(self, channels, rngs):
        self.conv = nnx.Conv(channels, 8, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
        self.block = Block(8, 16, 2, rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.dense = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        return self.dense(self.dropout(self.block(x).mean(axis=(1, 2))))


def images(dataset):
    """Training and test images in 0…1, with their labels."""
    if dataset == "digits":  # 8×8, as scikit-learn has them
        digits = load_digits()
        x, y = np.float32(digits.images[..., None] / 16), np.int32(digits.target)
        return (x[:1400], y[:1400]), (x[1400:], y[1400:])
    data = problems.load_dataset(dataset)
    train, test = (np.float32(pixels / 255) for pixels in (data.train_images, data.test_images))
    return (train, data.train_labels), (test, data.test_labels)


class Task:
    """A network on a data set: what jasgd.train takes, and how accurate it is."""

    def __init__(self, dataset="digits", seed=0):
        train, self.test = images(dataset)
        # A stream named dropout: reseeding one that is not there does nothing, and says nothing.
        model = ResNet(train[0].shape[-1], nnx.Rngs(params=seed, dropout=seed))
        # Parameters, model state, and the random state, which stays as it is: each gradient has a key of its own.
        self.graphdef, self.params, self.model_state, self.rngs = nnx.split(model, nnx.Param, nnx.BatchStat, ...)
        self.batches = jasgd.minibatches(train, 32, seed=seed)

    def merged(self, params, model_state):
        rngs = jax.tree.map(lambda leaf: leaf, self.rngs)  # a copy, as the model takes the very variables over
        return nnx.merge(self.graphdef, params, model_state, rngs)

    def loss_fn(self, params, batch, key, model_state):
        model = self.merged(params, model_state)
        nnx.reseed(model, dropout=key)  # without this line every gradient has the same mask
        model.train()
        loss = optax.softmax_cross_entropy_with_integer_labels(model(batch[0]), batch[1]).mean()
        return loss, nnx.state(model, nnx.BatchStat)

    @functools.cached_property
    def tested(self):
        @jax.jit
        def tested(params, model_state, x, y):
            model = self.merged(params, model_state)
            model.eval()  # running statistics, no dropout
            logits = model(x)
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

    def masks(self, keys):
        """The masks of dropout in models that are merged anew, reseeded where there is a key."""
        for key in keys:
            model = self.merged(self.params, self.model_state)
            if key is not None:
                nnx.reseed(model, dropout=key)
            yield bytes(np.asarray(model.dropout(jnp.ones(64)) > 0))


def main(dataset="digits"):
    task = Task(dataset)
    without, reseeded = task.masks([None] * 8), task.masks(jax.random.split(jax.random.key(0), 8))
    print(f"Masks in 8 gradients: {len(set(without))} without a key, {len(set(reseeded))} with one")
    result, tx = task.train("leashed", workers=2, steps=300)
    print(result.summary())
    for name, state in (("the initial", result.initial_model_state), ("the trained", result.model_state)):
        accuracy = float(task.evaluate(result.params, state)["accuracy"])
        print(f"Test accuracy with {name} statistics: {accuracy:.3f}")
    print(jasgd.replay(result, task.loss_fn, tx, task.batches).summary())


if __name__ == "__main__":
    main(*sys.argv[1:])
