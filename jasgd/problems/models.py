"""Small image classifiers in Flax NNX, and each as a pure function of a dict of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax

try:
    from flax import nnx
except ImportError as error:
    raise ImportError('jasgd.problems needs Flax: pip install "jasgd[problems]"') from error

from jasgd.problems.convolutions import features

Shape = tuple[int, int, int]
Initial = Literal["default", "published"]
Params = dict[str, Any]
Apply = Callable[[Params, Any], jax.Array]

_small = nnx.initializers.normal(0.01)
# name: the initializers of weights and biases
INITIALS: dict[str, dict[str, Any]] = {
    "default": {"kernel_init": nnx.initializers.he_normal(), "bias_init": nnx.initializers.zeros_init()},
    "published": {"kernel_init": _small, "bias_init": _small},
}


class MLP(nnx.Module):
    """A multilayer perceptron: flattened images, three hidden layers of equal width with ReLU, logits."""

    def __init__(self, shape: Shape, classes: int, rngs: nnx.Rngs, initial: Initial, width: int = 128):
        height, wide, channels = shape
        options: dict[str, Any] = {"rngs": rngs, **INITIALS[initial]}
        self.hidden1 = nnx.Linear(height * wide * channels, width, **options)
        self.hidden2 = nnx.Linear(width, width, **options)
        self.hidden3 = nnx.Linear(width, width, **options)
        self.output = nnx.Linear(width, classes, **options)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images, float [B, H, W, C], to logits, [B, classes]."""
        x = images.reshape(images.shape[0], -1)
        for layer in (self.hidden1, self.hidden2, self.hidden3):
            x = nnx.relu(layer(x))
        return self.output(x)


class LeNet(nnx.Module):
    """Two 5×5 convolutions, each with ReLU and 2×2 max-pooling, then dense layers with ReLU, logits."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        rngs: nnx.Rngs,
        initial: Initial,
        dense: tuple[int, ...],
        padding: int = 0,
    ):
        sides = tuple(side + 2 * padding for side in shape[:2])
        if any(side < 16 or side % 4 for side in sides):
            raise ValueError(
                f"shape must have height and width of at least {16 - 2 * padding} that poolings can halve twice, such "
                f"as 28 or 32, got {shape}"
            )
        options: dict[str, Any] = {"rngs": rngs, **INITIALS[initial]}
        self.padding = padding
        # They hold the parameters; what they compute, features() does.
        self.conv1 = nnx.Conv(shape[2], 6, kernel_size=(5, 5), padding="VALID", **options)
        self.conv2 = nnx.Conv(6, 16, kernel_size=(5, 5), padding="VALID", **options)
        flat = 16 * (((sides[0] - 4) // 2 - 4) // 2) * (((sides[1] - 4) // 2 - 4) // 2)
        widths = (flat, *dense)
        # Named attributes rather than a list, so that the keys of the parameters are strings.
        self.hidden = tuple(f"dense{i + 1}" for i in range(len(dense)))
        for i, name in enumerate(self.hidden):
            setattr(self, name, nnx.Linear(widths[i], widths[i + 1], **options))
        self.output = nnx.Linear(widths[-1], classes, **options)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images, float [B, H, W, C], to logits, [B, classes]."""
        margin = (self.padding, self.padding)
        x = jax.numpy.pad(images, ((0, 0), margin, margin, (0, 0))) if self.padding else images
        layers: tuple[Any, ...] = (self.conv1, self.conv2)
        x = features(x, [(layer.kernel[...], layer.bias[...]) for layer in layers])
        x = x.reshape(x.shape[0], -1)
        for name in self.hidden:
            x = nnx.relu(getattr(self, name)(x))
        return self.output(x)


def mlp(shape: Shape, classes: int, rngs: nnx.Rngs, initial: Initial = "default") -> nnx.Module:
    """784-128-128-128-10 with ReLU: 134,794 parameters for 28×28×1 images and ten classes.

    Args:
      shape: height, width, channels of an image.
      classes: number of logits.
      rngs: the random streams; ``rngs.params`` is drawn from.
      initial: a key of :data:`INITIALS`.

    Returns:
      A module from images, float [B, H, W, C], to logits, [B, classes].

    Example:
      >>> module = nnx.eval_shape(lambda: mlp((28, 28, 1), 10, nnx.Rngs(0)))
      >>> sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
      134794
    """
    return MLP(shape, classes, rngs, initial)


def lenet(shape: Shape, classes: int, rngs: nnx.Rngs, initial: Initial = "default") -> nnx.Module:
    """LeNet as the ASAP.SGD experiments use it, without the 84-unit layer: 34,622 parameters for 28×28×1 images.

    Convolution to 6 channels, 5×5, ReLU, 2×2 max-pooling; convolution to 16 channels, 5×5, ReLU, 2×2 max-pooling;
    dense 120, ReLU; dense to the logits. No padding. 52,202 parameters for 32×32×3 images.

    Args:
      shape: height, width, channels of an image; height and width multiples of 4, at least 16.
      classes: number of logits.
      rngs: the random streams; ``rngs.params`` is drawn from.
      initial: a key of :data:`INITIALS`.

    Returns:
      A module from images, float [B, H, W, C], to logits, [B, classes].

    Raises:
      ValueError: for a shape that two poolings do not halve evenly.

    Example:
      >>> module = nnx.eval_shape(lambda: lenet((32, 32, 3), 10, nnx.Rngs(0)))
      >>> sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
      52202

    Sources:
      K. Bäckström et al., "ASAP.SGD", ICML 2022; the architecture is read from the published C++ code.
    """
    return LeNet(shape, classes, rngs, initial, dense=(120,))


def lenet5(shape: Shape, classes: int, rngs: nnx.Rngs, initial: Initial = "default") -> nnx.Module:
    """LeNet-5: as :func:`lenet`, but 28×28 images padded to 32×32, and a dense layer of 84 units after that of 120.

    61,706 parameters for 28×28×1 images. Of the original it keeps the sizes; ReLU, max-pooling and full connections
    between the convolutions are what is used today.

    Args:
      shape: height, width, channels of an image; 28×28 is padded with zeros, other sizes are not.
      classes: number of logits.
      rngs: the random streams; ``rngs.params`` is drawn from.
      initial: a key of :data:`INITIALS`.

    Returns:
      A module from images, float [B, H, W, C], to logits, [B, classes].

    Raises:
      ValueError: for a shape that two poolings do not halve evenly.

    Example:
      >>> module = nnx.eval_shape(lambda: lenet5((28, 28, 1), 10, nnx.Rngs(0)))
      >>> sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
      61706

    Sources:
      Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    return LeNet(shape, classes, rngs, initial, dense=(120, 84), padding=2 if shape[:2] == (28, 28) else 0)


MODELS: dict[str, Callable[..., nnx.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "lenet5": lenet5,
}


def functional(
    model_name: str, shape: Shape, classes: int, seed: int, initial: Initial = "default"
) -> tuple[Params, Apply]:
    r"""A model as parameters and a pure function.

    Args:
      model_name: a key of :data:`MODELS`.
      shape: height, width, channels of an image.
      classes: number of logits.
      seed: the seed of the initial parameters, ≥ 0.
      initial: ``"default"``: weights He-normal, :math:`\mathcal N(0, 2/\text{fan-in})` truncated at two standard
        deviations, biases 0; ``"published"``: each weight and bias :math:`\mathcal N(0, 0.01^2)`, as the published
        ASAP.SGD code draws them.

    Returns:
      The parameters, a nested dict of float32 arrays with strings as keys, and ``apply(params, images) -> logits``,
      for images of float [B, H, W, C]: pure, to be traced, differentiated and compiled.

    Raises:
      ValueError: for an unknown model or ``initial``, a negative seed, or a shape that the model does not take.

    Example:
      >>> import jax.numpy as jnp
      >>> params, apply = functional("mlp", (28, 28, 1), 10, seed=0)
      >>> sorted(params), params["hidden1"]["kernel"].shape
      (['hidden1', 'hidden2', 'hidden3', 'output'], (784, 128))
      >>> apply(params, jnp.zeros((2, 28, 28, 1))).shape
      (2, 10)
    """
    if model_name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model_name!r}")
    if initial not in INITIALS:
        raise ValueError(f"initial must be one of {', '.join(INITIALS)}, got {initial!r}")
    if seed < 0:
        raise ValueError(f"seed must be ≥ 0, got {seed}")
    graph, state = nnx.split(MODELS[model_name](shape, classes, nnx.Rngs(seed), initial))
    return nnx.to_pure_dict(state), _applying(graph)


@functools.lru_cache(maxsize=16)  # one function for all seeds, so that runs share what is compiled of it
def _applying(graph: Any) -> Apply:
    def apply(params: Params, images: Any) -> jax.Array:
        return nnx.merge(graph, params)(images)

    return apply
