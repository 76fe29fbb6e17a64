"""How far parameters lie apart, over all their leaves, without overflow and underflow on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

SAFE = (2.0**-80, 2.0**120)  # sums of squares between these lost nothing that float32 could show


def norm(tree: Any) -> jax.Array:
    r"""The Euclidean norm over all leaves, :math:`\sqrt{\sum_i |x_i|^2}`.

    Where the squares would overflow or vanish the numbers are divided by the largest of them first.

    Args:
      tree: a pytree of arrays.

    Returns:
      float32 scalar; infinite where the norm is beyond float32, NaN where a number is; 0 without a number.

    Example:
      >>> import numpy as np
      >>> round(float(norm({"a": np.float32([3e30, 0]), "b": np.float32(4e30)})) / 1e30, 4)
      5.0
    """
    return _norm(lambda leaves: [_wide(leaf) for leaf in leaves], tree)


def distance(params: Any, read_params: Any) -> jax.Array:
    r"""How far the parameters have moved, :math:`D = \lVert w - w_{read} \rVert`.

    Args:
      params: w, a pytree of arrays.
      read_params: those that a gradient was computed on, of the same structure.

    Returns:
      float32 scalar, as of :func:`norm`.

    Example:
      >>> import numpy as np
      >>> float(distance({"w": np.float32([3, 4])}, {"w": np.float32([0, 0])}))
      5.0
    """
    return _norm(_apart, params, read_params)


def along(gradient: Any, params: Any, read_params: Any) -> jax.Array:
    r"""What a gradient says the loss has changed by since it was computed, :math:`\langle g, w - w_{read} \rangle`.

    Args:
      gradient: g, a pytree of arrays.
      params: w, of the same structure, as is ``read_params``.
      read_params: those that g was computed on.

    Returns:
      float32 scalar; of complex numbers the real part.

    Example:
      >>> import numpy as np
      >>> float(along(np.float32([1, 2]), np.float32([3, 4]), np.float32([0, 3])))
      5.0
    """
    parts = [
        jnp.sum((_wide(g) * jnp.conj(apart)).real)
        for g, apart in zip(
            jax.tree.leaves(gradient), _apart(jax.tree.leaves(params), jax.tree.leaves(read_params)), strict=True
        )
    ]
    return _total(parts)


def divisor(largest: jax.Array) -> jax.Array:
    """What to divide numbers by, the largest of which is of this size > 0, so that their squares stay in range.

    XLA multiplies by the reciprocal, and that of a number above 2¹²⁶ would be subnormal, which it takes for 0.

    Example:
      >>> float(divisor(jnp.float32(5.0))), float(divisor(jnp.float32(3e38))) == 2.0**126
      (5.0, True)
    """
    return jnp.clip(largest, jnp.float32(2.0**-126), jnp.float32(2.0**126))


def _wide(leaf: Any) -> jax.Array:
    """In float32, or complex64, or what is wider."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _apart(leaves: Any, others: Any) -> list[jax.Array]:
    return [_wide(leaf) - _wide(other) for leaf, other in zip(leaves, others, strict=True)]


def _total(parts: list[jax.Array]) -> jax.Array:
    return sum((part.astype(jnp.float32) for part in parts), jnp.zeros((), jnp.float32))


def _norm(numbers: Callable[..., list[jax.Array]], *trees: Any) -> jax.Array:
    """The norm of what a function makes of the leaves of trees.

    The branch that is seldom needed makes the numbers anew: handed over, they would have to be written to memory.
    """

    def squares(leaves: Any) -> list[jax.Array]:
        return [
            jnp.sum(jnp.square(leaf.real) + jnp.square(leaf.imag) if jnp.iscomplexobj(leaf) else jnp.square(leaf))
            for leaf in leaves
        ]

    def scaled(*leaves: Any) -> jax.Array:
        largest = _largest(numbers(*leaves))
        scale = jnp.where(jnp.isfinite(largest), divisor(largest), jnp.float32(1))

        def in_scale(*leaves: Any) -> jax.Array:
            return scale * jnp.sqrt(_total(squares([leaf / scale.astype(leaf.dtype) for leaf in numbers(*leaves)])))

        return jax.lax.cond(largest == 0, lambda *_: jnp.zeros((), jnp.float32), in_scale, *leaves)

    operands = [jax.tree.leaves(tree) for tree in trees]
    plain = _total(squares(numbers(*operands)))
    safe = (plain >= jnp.float32(SAFE[0])) & (plain <= jnp.float32(SAFE[1]))
    return jax.lax.cond(safe, lambda *_: jnp.sqrt(plain), scaled, *operands)


def _largest(leaves: list[jax.Array]) -> jax.Array:
    largest = jnp.zeros((), jnp.float32)
    for leaf in leaves:
        largest = jnp.maximum(largest, jnp.max(jnp.abs(leaf), initial=0).astype(jnp.float32))
    return largest
