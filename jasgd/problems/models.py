"""Small image classifiers, each as a dict of arrays and a pure function of it.

They are written in JAX alone: to import a library for models takes longer than to compile one of these.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jasgd.problems.convolutions import KERNEL, features

Shape = tuple[int, int, int]
Initial = Literal["default", "published"]
Params = dict[str, Any]
Apply = Callable[[Params, Any], jax.Array]

_normal = jax.nn.initializers.normal(0.01)
# name: the initializers of weights and biases
INITIALS: dict[str, tuple[Callable[..., jax.Array], Callable[..., jax.Array]]] = {
    "default": (jax.nn.initializers.he_normal(), jax.nn.initializers.zeros),
    "published": (_normal, _normal),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A classifier.

    Attributes:
      kernels: shapes of the kernels by the names of their layers, in the order in which they are drawn; a layer has a
        bias of its last size besides.
      apply: ``apply(params, images) -> logits``.
    """

    kernels: dict[str, tuple[int, ...]]
    apply: Apply

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) + shape[-1] for shape in self.kernels.values())


def mlp(shape: Shape, classes: int, width: int = 128) -> Network:
    """784-128-128-128-10 with ReLU: 134,794 parameters for 28×28×1 images and ten classes.

    Args:
      shape: height, width, channels of an image.
      classes: number of logits.
      width: of the three hidden layers.

    Returns:
      The network; of images, float [B, H, W, C], it makes logits, [B, classes].

    Example:
      >>> mlp((28, 28, 1), 10).parameters
      134794
    """
    hidden = ("hidden1", "hidden2", "hidden3")
    kernels = _dense_kernels(math.prod(shape), dict.fromkeys(hidden, width), classes)

    def apply(params: Params, images: Any) -> jax.Array:
        return _classified(params, hidden, images.reshape(images.shape[0], -1))

    return Network(kernels, apply)


def lenet(shape: Shape, classes: int) -> Network:
    """LeNet as the ASAP.SGD experiments use it, without the 84-unit layer: 34,622 parameters for 28×28×1 images.

    Convolution to 6 channels, 5×5, ReLU, 2×2 max-pooling; convolution to 16 channels, 5×5, ReLU, 2×2 max-pooling;
    dense 120, ReLU; dense to the logits. No padding. 52,202 parameters for 32×32×3 images.

    Args:
      shape: height, width, channels of an image; height and width multiples of 4, at least 16.
      classes: number of logits.

    Returns:
      The network; of images, float [B, H, W, C], it makes logits, [B, classes].

    Raises:
      ValueError: for a shape that two poolings do not halve evenly.

    Example:
      >>> lenet((32, 32, 3), 10).parameters
      52202

    Sources:
      K. Bäckström et al., "ASAP.SGD", ICML 2022; the architecture is read from the published C++ code.
    """
    return _convolutional(shape, classes, (120,))


def lenet5(shape: Shape, classes: int) -> Network:
    """LeNet-5: as :func:`lenet`, but 28×28 images padded to 32×32, and a dense layer of 84 units after that of 120.

    61,706 parameters for 28×28×1 images. Of the original it keeps the sizes; ReLU, max-pooling and full connections
    between the convolutions are what is used today.

    Args:
      shape: height, width, channels of an image; 28×28 is padded with zeros, other sizes are not.
      classes: number of logits.

    Returns:
      The network; of images, float [B, H, W, C], it makes logits, [B, classes].

    Raises:
      ValueError: for a shape that two poolings do not halve evenly.

    Example:
      >>> lenet5((28, 28, 1), 10).parameters
      61706

    Sources:
      Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    return _convolutional(shape, classes, (120, 84), padding=2 if shape[:2] == (28, 28) else 0)


#: The networks by name; each is a function of the shape of an input and the number of classes.
MODELS: dict[str, Callable[[Shape, int], Network]] = {
    "mlp": mlp,
    "lenet": lenet,
    "lenet5": lenet5,
}


def _convolutional(shape: Shape, classes: int, dense: tuple[int, ...], padding: int = 0) -> Network:
    """Two 5×5 convolutions, each with ReLU and 2×2 max-pooling, then dense layers with ReLU, logits."""
    height, width = (side + 2 * padding for side in shape[:2])
    if any(side < 16 or side % 4 for side in (height, width)):
        raise ValueError(
            f"shape must have height and width of at least {16 - 2 * padding} that poolings can halve twice, such "
            f"as 28 or 32, got {shape}"
        )
    kernels = {"conv1": (KERNEL, KERNEL, shape[2], 6), "conv2": (KERNEL, KERNEL, 6, 16)}
    flat = 16 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    hidden = tuple(f"dense{i + 1}" for i in range(len(dense)))
    kernels |= _dense_kernels(flat, dict(zip(hidden, dense, strict=True)), classes)

    def apply(params: Params, images: Any) -> jax.Array:
        margin = (padding, padding)
        x = jnp.pad(images, ((0, 0), margin, margin, (0, 0))) if padding else images
        x = features(x, [(params[name]["kernel"], params[name]["bias"]) for name in ("conv1", "conv2")])
        return _classified(params, hidden, x.reshape(x.shape[0], -1))

    return Network(kernels, apply)


def _dense_kernels(inputs: int, hidden: dict[str, int], classes: int) -> dict[str, tuple[int, ...]]:
    widths = (inputs, *hidden.values(), classes)
    return dict(zip((*hidden, "output"), itertools.pairwise(widths), strict=True))


def _classified(params: Params, hidden: tuple[str, ...], x: jax.Array) -> jax.Array:
    """Dense layers with ReLU, and the one that gives the logits."""
    for name in hidden:
        x = jax.nn.relu(_dense(params[name], x))
    return _dense(params["output"], x)


def _dense(layer: Params, x: jax.Array) -> jax.Array:
    kernel, bias = layer["kernel"], layer["bias"]
    dtype = jnp.result_type(x, kernel, bias)
    x, kernel, bias = (array.astype(dtype) for array in (x, kernel, bias))
    return jax.lax.dot_general(x, kernel, (((1,), (0,)), ((), ()))) + bias.reshape(1, -1)


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
    network = _network(model_name, shape, classes)
    key, number = jax.random.key(seed), itertools.count()
    params: Params = {}
    for name, kernel in network.kernels.items():
        draws = zip(("kernel", "bias"), INITIALS[initial], (kernel, kernel[-1:]), strict=True)
        params[name] = {
            part: draw(jax.random.fold_in(key, next(number)), size, jnp.float32) for part, draw, size in draws
        }
    return params, network.apply


@functools.lru_cache(maxsize=16)  # one function for all seeds, so that runs share what is compiled of it
def _network(model_name: str, shape: Shape, classes: int) -> Network:
    return MODELS[model_name](shape, classes)
