"""A training problem: data set, model, loss, batches and evaluation, from two names and a seed."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd.data import Batches, minibatches
from jasgd.inputs.checks import integer, key_seed
from jasgd.problems.datasets import Dataset, describe_dataset, load_dataset
from jasgd.problems.models import MODELS, Apply, Params, functional
from jasgd.showing import Shown

PRESETS = ("published",)
EVALUATED_AT_ONCE = 1_000  # test images per compiled call
_LABEL_OF_PADDING = -1


@dataclass(frozen=True, eq=False, repr=False)
class Problem(Shown):
    """A training problem: all that training needs but the optimizer and the scheme.

    Attributes:
      name: data set and model, for instance ``"digits/mlp"``.
      dataset: the raw data.
      model: a key of ``MODELS``.
      loss_fn: ``loss_fn(params, (images, labels)) -> scalar``, float32: the mean cross-entropy, in nats.
      apply: ``apply(params, images) -> logits``.
      params: the initial parameters, a nested dict of float32 arrays.
      batches: from a ticket to ``(images, labels)``: float32 [b, H, W, C], int32 [b], freshly allocated.
      evaluate: ``evaluate(params) -> {"loss": …, "accuracy": …}`` on the test images: mean cross-entropy in nats,
        share of images classified rightly.
      batch_size: images per batch, b.
      seed: the seed of ``params`` and ``batches``.
      preset: None or ``"published"``.
    """

    name: str
    dataset: Dataset
    model: str
    loss_fn: Callable[[Params, tuple[Any, Any]], jax.Array]
    apply: Apply
    params: Params
    batches: Batches
    evaluate: Callable[[Params], dict[str, float]]
    batch_size: int
    seed: int
    preset: str | None

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "preset": self.preset,
            "params": self.params,
            "train_images": len(self.dataset.train_images),
            "test_images": len(self.dataset.test_images),
        }


def load(
    dataset: str = "digits",
    model: str = "mlp",
    *,
    batch_size: int = 32,
    seed: int = 0,
    preset: Literal["published"] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    test_examples: int | None = None,
) -> Problem:
    r"""Loads a training problem: images classified by a small network.

    The loss of a batch is :math:`-\frac1b \sum_i \log \operatorname{softmax}(f(x_i))_{y_i}`. Pixels are standardised
    once, :math:`(x/255 - \mu)/\sigma`, with the mean and standard deviation of the training set, per channel.

    Args:
      dataset: a key of ``DATASETS``; or of ``LOCAL_DATASETS`` with its options, such as ``"emnist:split=letters"``, or
        ``"idx"`` for IDX files of your own, see ``load_dataset``.
      model: a key of ``MODELS``.
      batch_size: images per batch, 1 … number of training images.
      seed: the seed of the initial parameters and of the order of the batches, in 0…2³² − 1.
      preset: ``"published"`` takes the published experiments' pixels (raw 0…255; CIFAR's over 255), initial
        parameters (all from N(0, 0.01²)) and batches (shuffled once, then cycled through in that order).
      data_dir: as for ``load_dataset``.
      download: as for ``load_dataset``.
      test_examples: how many of the test images ``evaluate`` uses, the first ones; None for all.

    Returns:
      The problem. It starts JAX, so flags are to be set before.

    Raises:
      ValueError: for an unknown data set, model or preset, or a batch size, seed or number of test images outside its
        range.
      DatasetError: for files that are missing or wrong; a :class:`ValueError` too.
      ImportError: where a package of the extra ``problems`` is missing.

    Example:
      >>> problem = load("digits", "mlp", batch_size=16)
      >>> images, labels = problem.batches(0)
      >>> images.shape, images.dtype, labels.shape
      ((16, 28, 28, 1), dtype('float32'), (16,))
      >>> bool(problem.loss_fn(problem.params, (images, labels)) > 0)
      True
      >>> sorted(problem.evaluate(problem.params))
      ['accuracy', 'loss']

    Sources:
      K. Bäckström et al., "ASAP.SGD", ICML 2022; the preset is read from the published C++ code. Data sets: see
      ``load_dataset``; models: see ``jasgd.problems.models``.
    """
    describe_dataset(dataset)  # refuses an unknown name
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset must be None or one of {', '.join(PRESETS)}, got {preset!r}")
    batch_size = integer("batch_size", batch_size, 1)
    seed = key_seed(seed)
    if test_examples is not None:
        test_examples = integer("test_examples", test_examples, 1)
    data = load_dataset(dataset, data_dir, download)
    _refuse_more("batch_size", batch_size, len(data.train_images))
    if test_examples is not None:
        _refuse_more("test_examples", test_examples, len(data.test_images))

    published = preset == "published"
    params, apply = functional(model, data.shape, data.classes, seed, initial="published" if published else "default")
    scale = _published_pixels(data) if published else _standardised_pixels(data)
    return Problem(
        name=f"{dataset}/{model}",
        dataset=data,
        model=model,
        loss_fn=_cross_entropy(apply),
        apply=apply,
        params=params,
        batches=minibatches(
            (_scaled(data.train_images, scale), data.train_labels),
            batch_size,
            seed=seed,
            shuffle="once" if published else "epoch",
        ),
        evaluate=_evaluation(apply, _scaled(data.test_images[:test_examples], scale), data.test_labels[:test_examples]),
        batch_size=batch_size,
        seed=seed,
        preset=preset,
    )


@functools.lru_cache(maxsize=16)  # one function for all seeds, so that runs share what is compiled of it
def _cross_entropy(apply: Apply) -> Callable[[Params, tuple[Any, Any]], jax.Array]:
    def loss_fn(params: Params, batch: tuple[Any, Any]) -> jax.Array:
        images, labels = batch
        return optax.losses.softmax_cross_entropy_with_integer_labels(apply(params, images), labels).mean()

    return loss_fn


def _refuse_more(name: str, value: int, most: int) -> None:
    """ValueError naming the argument where the data set does not have so many images."""
    if value > most:
        raise ValueError(f"{name} must be an integer in 1…{most}, got {value!r}")


def _standardised_pixels(data: Dataset) -> np.ndarray:
    """The standardised number of each of the 256 pixel values in each channel, float32 [C, 256]."""
    mean, std = data.pixel_statistics()
    return ((np.arange(256) / 255 - mean[:, None]) / std[:, None]).astype(np.float32)


def _published_pixels(data: Dataset) -> np.ndarray:
    """The published code's number of each of the 256 pixel values in each channel, float32 [C, 256]."""
    return np.tile((np.arange(256) / data.published_divisor).astype(np.float32), (data.shape[2], 1))


def _scaled(images: np.ndarray, scale: np.ndarray) -> np.ndarray:
    scaled = np.empty(images.shape, np.float32)
    for start in range(0, len(images), EVALUATED_AT_ONCE):  # in chunks, as indices take eight bytes a pixel
        rows = slice(start, start + EVALUATED_AT_ONCE)
        for channel, values in enumerate(scale):
            scaled[rows, ..., channel] = values[images[rows, ..., channel]]
    return scaled


def _evaluation(apply: Apply, images: np.ndarray, labels: np.ndarray) -> Callable[[Params], dict[str, float]]:
    count = len(images)
    chunk = min(count, EVALUATED_AT_ONCE)
    padding = -count % chunk  # one shape for all chunks, so one compilation
    images = np.concatenate([images, np.zeros((padding, *images.shape[1:]), images.dtype)])
    labels = np.concatenate([labels, np.full(padding, _LABEL_OF_PADDING, labels.dtype)])

    totals = _totals(apply)

    def evaluate(params: Params) -> dict[str, float]:
        loss = right = 0.0
        for start in range(0, len(images), chunk):
            some_loss, some_right = totals(params, images[start : start + chunk], labels[start : start + chunk])
            loss += float(some_loss)
            right += float(some_right)
        return {"loss": loss / count, "accuracy": right / count}

    return evaluate


@functools.lru_cache(maxsize=16)
def _totals(apply: Apply) -> Callable[..., tuple[jax.Array, jax.Array]]:
    # The images are an argument: what a compiled function closes over becomes a constant of its code.
    @jax.jit
    def totals(params: Params, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = apply(params, images)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
        counted = labels != _LABEL_OF_PADDING
        right = jnp.argmax(logits, axis=-1) == labels
        return jnp.where(counted, losses, 0).sum(), right.sum()

    return totals
