"""Whether arrays are finite, and which leaf of a pytree is the first that is not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Leaves


def require_finite(name: str, leaf: Any) -> None:
    """ValueError for an array with a number that is not finite, which no training would get rid of.

    Args:
      name: of the array, for the message.
      leaf: an array of JAX or NumPy.

    Raises:
      ValueError: that says where the first such number is.
    """
    if first_nonfinite_leaf((leaf,)) is not None:
        numbers = np.asarray(leaf)
        place = tuple(np.argwhere(~np.isfinite(numbers))[0].tolist())
        raise ValueError(f"{name} must be finite, got {numbers[place]} at {list(place)}")


def paths_of(structure: Any) -> list[str]:
    """Of the leaves of a pytree, such as ``['dense']['kernel']``.

    Example:
      >>> paths_of(jax.tree.structure({"a": 1, "b": (2, 3)}))
      ["['a']", "['b'][0]", "['b'][1]"]
    """
    tree = jax.tree.unflatten(structure, range(structure.num_leaves))
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def are_finite(leaves: Leaves) -> bool:
    """Whether all numbers of floating-point arrays are finite.

    Args:
      leaves: arrays of JAX or NumPy.

    Returns:
      Whether they are.

    Example:
      >>> are_finite((np.ones(3), jnp.zeros(2))), are_finite((np.ones(3), np.array([0, np.inf])))
      (True, False)
    """
    return not np.isnan(np.asarray(_nan_if_not_finite(leaves)))


def first_nonfinite_leaf(leaves: Leaves) -> int | None:
    """The number of the first array with a number that is not finite, or None.

    Args:
      leaves: arrays of JAX or NumPy; those that are no floating-point arrays are finite.

    Returns:
      The number, from 0.

    Example:
      >>> first_nonfinite_leaf((np.ones(3), np.array([0, np.nan])))
      1
    """
    for number, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(np.asarray(leaf)).all():
            return number
    return None


@jax.jit
def _nan_if_not_finite(leaves: Leaves) -> Any:
    # A product with 0 is 0 or NaN, and no sum of it can overflow; half the time of isfinite and all on CPUs.
    return sum((jnp.sum(leaf * 0).astype(jnp.float32) for leaf in leaves), jnp.float32(0))
