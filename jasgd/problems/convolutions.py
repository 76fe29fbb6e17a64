"""LeNet's convolution, ReLU and max-pooling, on CPUs in a form that is faster than XLA's convolutions.

An output tile of s × s pixels depends on (s + 4) × (s + 4) pixels of the input. Written as one row of numbers each, the
tiles of all images are a matrix product away from their inputs, and products are what a CPU does best: the kernel is
spread out, once for each part of a large batch, into the matrix of one tile, which holds a zero wherever an input pixel
does not touch an output pixel. A tile is pooled within itself. Images lie in blocks of s × s pixels, so that a tile's
input is a few whole blocks side by side, and what pooling leaves of a tile is a block of the next layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

KERNEL = 5  # pixels a side
WHOLE, PART = 128, 64  # images that are computed at once; of more than WHOLE, PART at most, which a cache can hold
Layer = tuple[Any, Any]  # kernel [5, 5, C, O] and bias [O]


def features(images: Any, layers: Sequence[Layer]) -> jax.Array:
    r"""Layers of 5×5 convolution without padding, ReLU and 2×2 max-pooling.

    .. math:: x \leftarrow \operatorname{pool}_{2 \times 2}\big(\max(0,\ x * k + b)\big)

    Args:
      images: float [B, H, W, C]; each pooling must halve what its convolution leaves.
      layers: one or two pairs of kernel, float [5, 5, C, O], and bias, float [O].

    Returns:
      Float [B, H', W', O]. CPUs and other platforms compute it in different forms, equal but for rounding.

    Raises:
      ValueError: for another number of layers, or sides that the poolings do not halve evenly.

    Example:
      >>> kernel, bias = jnp.ones((5, 5, 1, 6)), jnp.zeros(6)
      >>> features(jnp.ones((2, 8, 12, 1)), [(kernel, bias)])[0, :, :, 0]
      Array([[25., 25., 25., 25.],
             [25., 25., 25., 25.]], dtype=float32)
    """
    if len(layers) not in (1, 2):
        raise ValueError(f"layers must be one or two, got {len(layers)}")
    even, least = {1: (2, 6), 2: (4, 16)}[len(layers)]
    if any(side < least or side % even for side in images.shape[1:3]):
        raise ValueError(f"images must have sides that are multiples of {even}, from {least} on, got {images.shape}")
    flat = [array for layer in layers for array in layer]
    return jax.lax.platform_dependent(images, *flat, cpu=_tiled, default=_direct)


def _layers(flat: Sequence[Any]) -> list[Layer]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _direct(images: Any, *flat: Any) -> jax.Array:
    x = images
    for kernel, bias in _layers(flat):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = max_pool(jax.nn.relu(x + bias))
    return x


def _tiled(images: Any, *flat: Any) -> jax.Array:
    batch, part = images.shape[0], part_of(images.shape[0])
    if part == batch:
        return _tiled_at_once(images, *flat)
    features = _tiled_in_parts(images.reshape(batch // part, part, *images.shape[1:]), *flat)
    return features.reshape(batch, *features.shape[2:])


def _tiled_in_parts(parts: Any, *flat: Any) -> jax.Array:
    """Part by part, [N, P, H, W, C] to [N, P, H', W', O]; the gradient computes the features of each part once more.

    XLA's CPU executor leaves its thread for a pool where more than eight kernels are ready, and then all workers queue
    for the one thread that is there. A loop that differentiates itself begins with as many as it keeps arrays, each to
    be set to zero. This one keeps none, has one sum and not four, and nothing is computed of the kernels ahead of it.
    """
    ends = np.cumsum([array.size for array in flat])[:-1]

    def features_of(images: Any, packed: Any) -> jax.Array:
        pieces = zip(jnp.split(packed, ends), flat, strict=True)
        return _tiled_at_once(images, *(piece.reshape(like.shape).astype(like.dtype) for piece, like in pieces))

    def features(parts: Any, packed: Any) -> jax.Array:
        return jax.lax.map(lambda images: features_of(images, packed), parts)

    def forward(parts: Any, packed: Any) -> tuple[jax.Array, tuple[Any, Any]]:
        return features(parts, packed), (parts, packed)

    def backward(kept: tuple[Any, Any], cotangents: Any) -> tuple[Any, Any]:
        parts, packed = kept

        def add(total: Any, part: tuple[Any, Any]) -> tuple[Any, Any]:
            images, cotangent = part
            of_images, of_packed = jax.vjp(features_of, images, packed)[1](cotangent)
            return total + of_packed, of_images

        total, of_parts = jax.lax.scan(add, jnp.zeros_like(packed), (parts, cotangents))
        return of_parts, total

    differentiable = jax.custom_vjp(features)
    differentiable.defvjp(forward, backward)
    return differentiable(parts, jax.lax.optimization_barrier(jnp.concatenate([array.ravel() for array in flat])))


def part_of(batch: int) -> int:
    """How many images are computed at once: parts are equal, and not so small that they cost more than they save.

    Example:
      >>> [part_of(batch) for batch in (16, 128, 512, 500, 131)]
      [16, 128, 64, 50, 131]
    """
    if batch <= WHOLE:
        return batch
    return next((part for part in range(PART, PART // 2, -1) if batch % part == 0), batch)


def _tiled_at_once(images: Any, *flat: Any) -> jax.Array:
    layers = _layers(flat)
    side = 2 ** len(layers)  # halved by every pooling, down to single pixels
    batch, height, width, channels = images.shape
    x = images.reshape(batch, height // side, side, width // side, side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)
    for kernel, bias in layers:
        x = _tiles(x, kernel, bias, side)
        side //= 2
    return x


def _tiles(x: Any, kernel: Any, bias: Any, side: int) -> jax.Array:
    """A layer on blocks, [B, I, J, side² C] to [B, I', J', (side/2)² O]."""
    across = 1 + (KERNEL - 1) // side  # blocks on each side of a tile's input
    batch, rows, columns = x.shape[0], x.shape[1] - across + 1, x.shape[2] - across + 1
    # In two steps, since XLA's CPU executor leaves its thread for a pool where more than eight slices wait to be taken.
    wide = jnp.concatenate([x[:, :, j : j + columns] for j in range(across)], axis=-1)
    tiles = jnp.concatenate([wide[:, i : i + rows] for i in range(across)], axis=-1)
    tiles = tiles.reshape(batch * rows * columns, -1) @ _matrix(kernel, side)
    # The pixels that are pooled together come first, and a bias moves all of them alike.
    pooled = tiles.reshape(batch, rows, columns, 4, (side // 2) ** 2, bias.shape[0]).max(axis=3)
    return jax.nn.relu(pooled + bias).reshape(batch, rows, columns, -1)


def _matrix(kernel: Any, side: int) -> jax.Array:
    """The matrix of a tile: input block, row, column and channel down; place in a pool, pool and channel across."""
    touches = np.zeros((side + KERNEL - 1, side, KERNEL), np.float32)
    for out in range(side):
        for tap in range(KERNEL):
            touches[out + tap, out, tap] = 1
    along = touches.reshape(-1, side, side // 2, 2, KERNEL).astype(kernel.dtype)  # block, in, pool, place in it, tap
    down = jnp.einsum("klio,aeYpk->aepYlio", kernel, along)
    return jnp.einsum("aepYlio,bfXql->abefipqYXo", down, along).reshape(-1, side * side * kernel.shape[3])


def max_pool(x: jax.Array) -> jax.Array:
    """The maximum of each 2×2 block: [B, H, W, C] to [B, H/2, W/2, C], for even H and W.

    Example:
      >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
      Array([[ 5.,  7.],
             [13., 15.]], dtype=float32)
    """
    batch, height, width, channels = x.shape
    # On CPU this and its gradient are faster than reduce_window.
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
