"""How far parameters lie apart, over all their leaves, without overflow and underflow on the way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

SAFE = (2.0**-80, 2.0**120)  # sums of squares between these lost nothing that float32 could show


def norm(tree: Any) -> jax.Array:
    r"""The Euclidean norm over all leaves, :math:`\sqrt{\sum_i x_i^2}`.

    Where the squares would overflow or vanish the numbers are divided by the largest of them first.

    Args:
      tree: a pytree of floating-point arrays.

    Returns:
      float32 scalar; infinite where the norm is beyond float32, NaN where a number is.

    Example:
      >>> import numpy as np
      >>> round(float(norm({"a": np.float32([3e30, 0]), "b": np.float32(4e30)})) / 1e30, 4)
      5.0
    """
    leaves = [
        leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in map(jnp.asarray, jax.tree.leaves(tree))
    ]
    return _norm(leaves)


def distance(params: Any, read_params: Any) -> jax.Array:
    r"""How far the parameters have moved, :math:`D = \lVert w - w_{read} \rVert`.

    Args:
      params: w, a pytree of floating-point arrays.
      read_params: those that a gradient was computed on, of the same structure.

    Returns:
      float32 scalar.

    Example:
      >>> import numpy as np
      >>> float(distance({"w": np.float32([3, 4])}, {"w": np.float32([0, 0])}))
      5.0
    """

    def apart(now: Any, then: Any) -> jax.Array:
        wide = jnp.promote_types(now.dtype, jnp.float32)
        return jnp.asarray(now, wide) - jnp.asarray(then, wide)

    return _norm(jax.tree.leaves(jax.tree.map(apart, params, read_params)))


def along(gradient: Any, params: Any, read_params: Any) -> jax.Array:
    r"""What a gradient says the loss has changed by since it was computed, :math:`\langle g, w - w_{read} \rangle`.

    Args:
      gradient: g, a pytree of floating-point arrays.
      params: w, of the same structure, as is ``read_params``.
      read_params: those that g was computed on.

    Returns:
      float32 scalar.

    Example:
      >>> import numpy as np
      >>> float(along(np.float32([1, 2]), np.float32([3, 4]), np.float32([0, 3])))
      5.0
    """

    def product(g: Any, now: Any, then: Any) -> jax.Array:
        wide = jnp.promote_types(now.dtype, jnp.float32)
        return jnp.sum(jnp.asarray(g, wide) * (jnp.asarray(now, wide) - jnp.asarray(then, wide))).astype(jnp.float32)

    return sum(jax.tree.leaves(jax.tree.map(product, gradient, params, read_params)))  # type: ignore[return-value]


def _norm(leaves: list[jax.Array]) -> jax.Array:
    def squares(scale: Any) -> jax.Array:
        parts = [jnp.sum(jnp.square(leaf / scale.astype(leaf.dtype))) for leaf in leaves]
        return sum(part.astype(jnp.float32) for part in parts)  # type: ignore[return-value]

    def scaled() -> jax.Array:
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0).astype(jnp.float32) for leaf in leaves]))
        scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.float32(1))
        return scale * jnp.sqrt(squares(scale))

    plain = sum(jnp.sum(jnp.square(leaf)).astype(jnp.float32) for leaf in leaves)
    safe = (plain >= jnp.float32(SAFE[0])) & (plain <= jnp.float32(SAFE[1]))
    return jax.lax.cond(safe, lambda: jnp.sqrt(plain), scaled)
