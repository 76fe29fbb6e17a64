"""Pytrees as files: the digest of one, and .npz files that hold its leaves by path."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np


def digest(tree: Any) -> str:
    """SHA-256 over the bytes, shapes and dtypes of a pytree's leaves, in order.

    Args:
      tree: pytree of arrays.

    Returns:
      64 hexadecimal digits.

    Example:
      >>> import numpy as np
      >>> digest({"w": np.zeros(2)})[:8]
      '57b9c6ee'
    """
    hashed = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = plain(leaf)
        hashed.update(f"{array.dtype.name}{array.shape}".encode())
        hashed.update(memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data))
    return hashed.hexdigest()


def to_json(value: Any) -> Any:
    """A value as strict JSON can hold it: NumPy numbers become Python's, numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value
    return (number if np.isfinite(number) else None) if isinstance(number, float) else number


def plain(leaf: Any) -> np.ndarray:
    """A leaf's numbers; those of a typed PRNG key, which is no array to NumPy, are its data."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _like(array: np.ndarray, expected: Any) -> jax.Array:
    if _is_key(expected):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(expected))
    return jax.numpy.asarray(array)


def save_tree(path: Path, tree: Any) -> None:
    """Writes a pytree's leaves, with their paths, dtypes and shapes, into an .npz file."""
    # Bytes, so that bfloat16 and other dtypes that .npz does not know come back as they were.
    arrays, leaves = {}, []
    for i, (where, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(tree)):
        array = plain(leaf)
        arrays[str(i)] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        leaves.append({"path": jax.tree_util.keystr(where), "dtype": array.dtype.name, "shape": list(array.shape)})
    np.savez_compressed(path, **arrays, leaves=np.array(json.dumps(leaves)))


def load_tree(path: Path, like: Any) -> Any:
    """Reads what :func:`save_tree` wrote.

    Args:
      path: the file.
      like: a pytree in whose structure the leaves are put, or None for a dict by path.

    Returns:
      The pytree.

    Raises:
      ValueError: where the leaves do not have the shapes of ``like``.
    """
    with np.load(path, allow_pickle=False) as file:
        described = json.loads(str(file["leaves"]))
        leaves = [
            np.frombuffer(file[str(i)].tobytes(), jax.numpy.dtype(leaf["dtype"])).reshape(leaf["shape"])
            for i, leaf in enumerate(described)
        ]
    if like is None:
        return {leaf["path"]: array for leaf, array in zip(described, leaves, strict=True)}
    expected, structure = jax.tree.flatten(like)
    shapes = [tuple(leaf["shape"]) for leaf in described]
    expected_shapes = [plain(leaf).shape for leaf in expected]
    if shapes != expected_shapes:
        raise ValueError(f"{path} holds leaves of shapes {shapes}, the given structure has {expected_shapes}")
    return jax.tree.unflatten(structure, [_like(leaf, e) for leaf, e in zip(leaves, expected, strict=True)])
