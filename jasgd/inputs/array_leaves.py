"""The leaves of a pytree as NumPy arrays: what may stand for an array of numbers, and why something else is refused."""

from __future__ import annotations

import array
import numbers
from typing import Any

import jax
import numpy as np

MaskedArray = np.ma.MaskedArray
_NUMBERS = (numbers.Number, np.generic)


def arrays_of(tree: Any, name: str) -> tuple[tuple[str, ...], tuple[np.ndarray, ...], Any]:
    """The arrays of a pytree. A list of numbers, or of such lists, is an array, and no pytree of numbers.

    Args:
      tree: a pytree of arrays of numbers: NumPy's, memory maps among them, JAX's, or what gives one by ``__array__``.
      name: what errors call the tree.

    Returns:
      The path of each leaf, which begins with ``name``; the leaves as NumPy arrays, not copied where they are some; and
      the structure.

    Raises:
      TypeError: for a leaf that is no array of numbers, or would lose something as one, such as its mask; with its path
        and type, and what to give instead.

    Example:
      >>> paths, arrays, structure = arrays_of({"x": np.ones((2, 3)), "y": [0, 1]}, "arrays")
      >>> paths, [a.shape for a in arrays]
      (("arrays['x']", "arrays['y']"), [(2, 3), (2,)])
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_one_array)
    paths = tuple(name + jax.tree_util.keystr(path) for path, _ in leaves)
    arrays = tuple(as_array(leaf, path) for path, (_, leaf) in zip(paths, leaves, strict=True))
    return paths, arrays, structure


def as_array(leaf: Any, where: str) -> np.ndarray:
    """A leaf as a NumPy array of numbers; see :func:`arrays_of`.

    Args:
      leaf: the leaf.
      where: what errors call it.

    Returns:
      The array, which is not copied where it is one.

    Raises:
      TypeError: see :func:`arrays_of`.

    Example:
      >>> as_array(np.ma.masked_equal([1, 2], 2), "x")
      Traceback (most recent call last):
      TypeError: x is a masked array, whose mask would be lost: give x.filled(...), or data and mask as two arrays
    """
    refuse_lossy(leaf, where)
    is_array = isinstance(leaf, (np.ndarray, jax.Array))
    if not (is_array or isinstance(leaf, (list, array.array, np.generic)) or hasattr(leaf, "__array__")):
        hint = "; give np.asarray of the whole sequence" if isinstance(leaf, _NUMBERS) else ""
        raise TypeError(f"{where} must be an array of numbers, got {_type(leaf)}{hint}")
    try:
        converted = np.asarray(leaf)
    except Exception as error:  # of another library, whose tensor may lie on another device
        raise TypeError(f"{where} cannot be made a NumPy array of {_type(leaf)}: {error}") from error
    refuse_dtype(converted, where)
    return converted


def refuse_lossy(leaf: Any, where: str) -> None:
    """TypeError for what is no plain array, and would lose its meaning as one: masked, sparse, random keys."""
    if isinstance(leaf, MaskedArray):
        raise TypeError(
            f"{where} is a masked array, whose mask would be lost: give {where}.filled(...), or data and mask as two "
            f"arrays"
        )
    if library := _sparse(leaf):
        dense = "toarray()" if library == "scipy.sparse" else "todense()"
        raise TypeError(f"{where} is sparse ({library}'s {type(leaf).__name__}), not an array: give {where}.{dense}")
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{where} has random keys ({leaf.dtype}), no numbers: give jax.random.key_data({where})")


def refuse_dtype(array: np.ndarray, where: str) -> None:
    """TypeError for an array of something else than numbers and truth values."""
    if names := array.dtype.names:
        raise TypeError(f"{where} has the fields {', '.join(names)}: give a dict with an array for each")
    if not (array.dtype == bool or jax.dtypes.issubdtype(array.dtype, np.number)):
        raise TypeError(f"{where} must be an array of numbers, got dtype {array.dtype}")


def refuse_batch(batch: Any, name: str) -> None:
    """Refuses a batch of which a leaf cannot be traced, or would lose something.

    Args:
      batch: a pytree of arrays, numbers, and JAX's random keys.
      name: what errors call the batch.

    Returns:
      None.

    Raises:
      TypeError: for masked and SciPy's sparse arrays, for texts, and for arrays of anything but numbers, with the path.

    Example:
      >>> refuse_batch({"x": np.ones(3), "scale": 0.5}, "batches(0)")
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        where = name + jax.tree_util.keystr(path)
        if isinstance(leaf, np.ndarray):
            refuse_lossy(leaf, where)
            refuse_dtype(leaf, where)
        elif not isinstance(leaf, jax.Array):
            refuse_lossy(leaf, where)
            if isinstance(leaf, (str, bytes)):
                raise TypeError(f"{where} must be an array of numbers, got {_type(leaf)}")


def is_foreign(leaf: Any) -> bool:
    """Whether a leaf is another library's array, which JAX takes as NumPy's alone."""
    return not isinstance(leaf, (np.ndarray, jax.Array, np.generic)) and hasattr(leaf, "__array__")


def _is_one_array(node: Any) -> bool:
    """Whether a node is one array, though JAX would look into it."""
    return (type(node) is list and _is_numbers(node)) or bool(_sparse(node))


def _is_numbers(node: Any) -> bool:
    return isinstance(node, _NUMBERS) or (type(node) is list and all(map(_is_numbers, node)))


def _sparse(node: Any) -> str:
    """The library of a sparse array, ``""`` for anything else; without importing either library."""
    module = type(node).__module__
    return next((library for library in ("scipy.sparse", "jax.experimental.sparse") if module.startswith(library)), "")


def _type(leaf: Any) -> str:
    kind = type(leaf)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
