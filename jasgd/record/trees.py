"""Pytrees: the digest of one, its leaves as arrays by path, and what is put back into a structure by path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jasgd.record.earlier_laws import with_present_laws
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.folder import Draft
from jasgd.record.saving.manifest import SavedFolder


class LeavesByPath(dict[str, np.ndarray]):
    """The leaves of a pytree by path, as they come without a structure; to JAX a pytree with the same leaves and paths.

    Saved again they have the paths and types that they had.

    Args:
      leaves: by path, in the order of the tree.
      nodes: types of the nodes, by path.
      keys: dtype and implementation of the typed PRNG keys, by path of the leaf that is their data.
    """

    def __init__(self, leaves: Mapping[str, np.ndarray], nodes: Mapping[str, str], keys: Mapping[str, Any] | None):
        super().__init__(leaves)
        self.nodes, self.keys_of = dict(nodes), None if keys is None else dict(keys)


jax.tree_util.register_pytree_with_keys(
    LeavesByPath,
    lambda tree: (
        [(path, leaf) for path, leaf in tree.items()],
        (tuple(tree), json.dumps([tree.nodes, tree.keys_of])),
    ),
    lambda about, leaves: LeavesByPath(dict(zip(about[0], leaves, strict=True)), *json.loads(about[1])),
)


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


def save_tree(draft: Draft, name: str, tree: Any) -> None:
    """Writes a pytree's leaves into an .npz file, under their paths; the manifest has the types of its nodes.

    Args:
      draft: the folder that is saved.
      name: of the file.
      tree: pytree of arrays.
    """
    leaves, nodes = _by_path(tree)
    keys = {path: [str(leaf.dtype), str(jax.random.key_impl(leaf))] for path, leaf in leaves.items() if _is_key(leaf)}
    if isinstance(tree, LeavesByPath):
        nodes, keys = tree.nodes, tree.keys_of
    # Weights do not get smaller by compression.
    draft.arrays(name, {path: plain(leaf) for path, leaf in leaves.items()}, compress=False, nodes=nodes, keys=keys)


def load_tree(saved: SavedFolder, name: str, like: Any) -> Any:
    """Reads what :func:`save_tree` wrote.

    Args:
      saved: the folder.
      name: of the file.
      like: a pytree in whose structure the leaves are put, or None for a dict by path.

    Returns:
      The pytree; in a dict by path a typed PRNG key is its data.

    Raises:
      SavedRunError: where the file is damaged.
      ValueError: where ``like`` has another leaf, or one of another shape or dtype, or a node of another type; it names
        the leaf or the node.
    """
    path = saved.folder / name
    if saved.manifest is None:
        arrays, nodes, keys = _version_1(path, saved.arrays(name)), {}, None
    else:
        arrays, about = saved.arrays(name), saved.manifest[name]
        nodes, keys = about["nodes"], about["keys"]
    return LeavesByPath(arrays, nodes, keys) if like is None else _fitted(path, arrays, nodes, keys, like)


def put_into(name: str, tree: Any, like: Any) -> Any:
    """A pytree's leaves in the structure of another one, each where its path is.

    Args:
      name: of the tree, for messages.
      tree: pytree of arrays, or a dict by path as :func:`load_tree` gives it.
      like: pytree of arrays.

    Returns:
      A pytree of the structure of ``like``.

    Raises:
      ValueError: as :func:`load_tree`, for another leaf, or one of another shape or dtype, or a node of another type.

    Example:
      >>> put_into("state", (np.ones(2, np.float32),), (np.zeros(2, np.float32),))
      (Array([1., 1.], dtype=float32),)
    """
    if isinstance(tree, LeavesByPath):
        return _fitted(name, dict(tree), tree.nodes, tree.keys_of, like)
    leaves, nodes = _by_path(tree)
    keys = {path: [str(leaf.dtype), str(jax.random.key_impl(leaf))] for path, leaf in leaves.items() if _is_key(leaf)}
    return _fitted(name, {path: plain(leaf) for path, leaf in leaves.items()}, nodes, keys, like)


def _fitted(
    path: Path | str, arrays: dict[str, np.ndarray], nodes: dict[str, str], keys: dict | None, like: Any
) -> Any:
    expected, its_nodes = _by_path(like)
    if keys is None:  # version 1
        arrays = with_present_laws(arrays, expected)
    if isinstance(like, LeavesByPath):
        its_nodes = like.nodes
    for where, kind in its_nodes.items():
        if nodes.get(where, kind) != kind:
            message = f"{path}: node {where or 'at the top'} is of type {nodes[where]}, the given structure has {kind}"
            raise ValueError(message)
    missing, extra = [p for p in expected if p not in arrays], [p for p in arrays if p not in expected]
    if missing or extra:
        texts = [f"has no leaf {_named(missing)}, which the given structure has"] if missing else []
        texts += [f"has the leaf {_named(extra)}, which the given structure does not have"] if extra else []
        raise ValueError(f"{path} {', and '.join(texts)}")
    fitted = [_like(f"{path}: leaf {p or 'at the top'}", arrays[p], leaf, p, keys) for p, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), fitted)


def _like(what: str, array: np.ndarray, expected: Any, path: str, keys: dict | None) -> Any:
    """The array as a leaf of the given structure, where it is of its shape and dtype."""
    kind, impl = (None, None) if keys is None else keys.get(path, (None, None))
    if _is_key(expected) or kind is not None:
        found, given = kind or str(array.dtype), str(getattr(expected, "dtype", type(expected).__name__))
        if found != given and not (keys is None and _is_key(expected) and found == "uint32"):
            raise ValueError(f"{what} is of dtype {found}, the given structure has {given}")
        data = jax.eval_shape(jax.random.key_data, expected)
        _same_shape(what, array.shape, data.shape)
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=impl or jax.random.key_impl(expected))
    own = np.dtype(expected.dtype) if hasattr(expected, "dtype") else np.asarray(expected).dtype
    own = own.newbyteorder("=")
    _same_shape(what, array.shape, expected.shape if hasattr(expected, "shape") else np.shape(expected))
    if array.dtype not in (own, _in_jax(own)):
        raise ValueError(f"{what} is of dtype {array.dtype}, the given structure has {_in_jax(own)}")
    # A dtype that JAX would not hold at present, such as float64, stays NumPy's.
    return jax.numpy.asarray(array) if _in_jax(array.dtype) == array.dtype else array


def _same_shape(what: str, shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(given):
        raise ValueError(f"{what} is of shape {list(shape)}, the given structure has {list(given)}")


def _in_jax(dtype: np.dtype) -> np.dtype:
    """The dtype that JAX makes of this one under its present settings."""
    return jax.eval_shape(lambda leaf: leaf, np.empty((), dtype)).dtype


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", np.dtype(bool)), jax.dtypes.prng_key)


def _by_path(tree: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The leaves of a pytree by path, and by path the types of the nodes above them that do not only hold others."""
    leaves: dict[str, Any] = {}
    nodes: dict[str, str] = {}
    for path, node, is_leaf in _walk(tree, ()):
        name = jax.tree_util.keystr(path)
        if not is_leaf:
            nodes.setdefault(name, type(node).__name__)
            continue
        leaves[_unused(name, leaves)] = node
    plain_nodes = {"dict", "list", "tuple", "OrderedDict", "defaultdict", "FrozenDict"}
    return leaves, {name: kind for name, kind in nodes.items() if kind not in plain_nodes}


def _walk(tree: Any, path: tuple) -> Iterator[tuple[tuple, Any, bool]]:
    """All nodes and leaves, each with its path, in the order in which JAX flattens; of nodes those above a leaf."""
    children, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    if len(children) == 1 and children[0][0] == ():
        yield path, tree, True
        return
    inside = [found for key, child in children for found in _walk(child, path + key)]
    if inside:
        yield path, tree, False
        yield from inside


def _unused(name: str, leaves: Mapping[str, Any]) -> str:
    while name in leaves:  # a node of one's own may call its children alike
        name += "'"
    return name


def _named(paths: list[str]) -> str:
    shown = ", ".join(path or "at the top" for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _version_1(path: Path, members: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The leaves of a file of version 1: bytes by number, and one text that describes them."""
    try:
        described = json.loads(str(members["leaves"]))
        leaves: dict[str, np.ndarray] = {}
        for i, leaf in enumerate(described):
            array = np.frombuffer(members[str(i)].tobytes(), jax.numpy.dtype(leaf["dtype"]))
            leaves[_unused(leaf["path"], leaves)] = array.reshape(leaf["shape"])
        return leaves
    except (KeyError, ValueError, TypeError) as error:
        raise SavedRunError(f"{path} does not have the leaves of a saved tree: {error}") from error
