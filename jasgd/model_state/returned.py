"""Admitting a model state: its leaves, and whether what the loss and ``merge`` return is a state like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.inputs.checks import described
from jasgd.model_state.arguments import is_key
from jasgd.model_state.leaves import Kind, Leaves, ModelState
from jasgd.showing import brief

TUPLES = {
    False: "(loss, new_state)",
    True: "(loss, (new_state, aux))",
}  # by has_aux


def admit_model_state(
    model_state: Any, merge: Callable[..., Any] | None, device: Any = None
) -> tuple[ModelState, Leaves]:
    """Flattens a model state into arrays of its own.

    Args:
      model_state: pytree of arrays.
      merge: as of :func:`jasgd.train`.
      device: where they are put, None for JAX's default.

    Returns:
      Its structure, and its leaves.

    Raises:
      TypeError: where ``merge`` does not give a state like it.
    """
    leaves, structure = jax.tree.flatten(model_state)
    keys = tuple(str(jax.random.key_impl(leaf)) if is_key(leaf) else None for leaf in leaves)
    kinds = tuple(_kind(leaf) for leaf in leaves)
    about = ModelState(structure, kinds, keys, merge)
    # Copies, which no caller's donation deletes and no scheme's commit changes behind the caller.
    arrays = tuple(jnp.copy(leaf if isinstance(leaf, jax.Array) else np.array(leaf)) for leaf in leaves)
    own = about.leaves_of(jax.tree.unflatten(structure, arrays))
    if device is not None:
        own = tuple(jax.device_put(leaf, device) for leaf in own)
    if merge is not None:
        tree = jax.eval_shape(about.tree, own)
        try:
            merged = jax.eval_shape(about.merged, tree, tree, tree)
        except Exception as error:
            error.add_note("merge(published, new) failed while it was traced, before the run")
            raise
        _require_alike("merge", merged, tree)
    return about, own


def without_new_state(about: ModelState, leaves: Leaves, out: Any, *, has_aux: bool) -> Any:
    """What a loss returned, without the new model state, once that is seen to be like the one it was given.

    Args:
      about: the model state.
      leaves: its leaves.
      out: what the loss returned, as shapes.
      has_aux: as of :func:`jasgd.train`.

    Returns:
      The loss, or ``(loss, aux)``, as a loss without model state returns it.

    Raises:
      TypeError: naming the leaf that differs.
    """
    whole = isinstance(out, tuple) and len(out) == 2
    if not whole or (has_aux and not (isinstance(out[1], tuple) and len(out[1]) == 2)):
        got = brief(_shapes(out), 200)
        with_aux = " with has_aux=True" if has_aux else ""
        raise TypeError(f"loss_fn must return {TUPLES[has_aux]} where it is given model_state{with_aux}, got {got}")
    new = out[1][0] if has_aux else out[1]
    _require_alike("loss_fn", new, jax.eval_shape(about.tree, leaves), has_aux=has_aux)
    return (out[0], out[1][1]) if has_aux else out[0]


def require_alike(model_state: Any, like: Any) -> None:
    """ValueError where the model state of a seed has other nodes, shapes or dtypes than the first seed's.

    Args:
      model_state: pytree of arrays.
      like: the first one.
    """
    if jax.tree.structure(model_state) != jax.tree.structure(like) or _shapes(model_state) != _shapes(like):
        raise ValueError("model_state must have the same structure, shapes and dtypes for every seed")


def _require_alike(who: str, new: Any, expected: Any, *, has_aux: bool = True) -> None:
    """TypeError where a new model state has other leaves, shapes or dtypes, or nodes."""
    given, wanted = _by_path(new), _by_path(expected)
    for path in (*wanted, *given):
        where = f"model_state{path}" if path else "model_state"
        if path not in given:
            hint = ": pass has_aux=True for a loss that returns aux as well" if not has_aux and _is_pair(new) else ""
            raise TypeError(f"the new state that {who} returns must have {where}, which is missing{hint}")
        if path not in wanted:
            raise TypeError(f"the new state that {who} returns must have the leaves that it was given, got {where} too")
        if _shapes(given[path]) != _shapes(wanted[path]):
            raise TypeError(
                f"the new state that {who} returns must have {where} as {_shapes(wanted[path])}, got "
                f"{_shapes(given[path])}"
            )
    if (ours := jax.tree.structure(new)) != (theirs := jax.tree.structure(expected)):
        raise TypeError(
            f"the new state that {who} returns must have the nodes that it was given, {brief(str(theirs), 150)}, got "
            f"{brief(str(ours), 150)}"
        )


def _is_pair(new: Any) -> bool:
    return isinstance(new, tuple) and len(new) == 2


def _by_path(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _shapes(tree: Any) -> str:
    if hasattr(tree, "dtype") and hasattr(tree, "shape"):
        return f"{tree.dtype}{list(tree.shape)}"
    leaves = jax.tree.leaves(tree)
    if not leaves or leaves[0] is tree:
        return described(tree)
    return str(jax.tree.map(_shapes, tree)).replace("'", "")


def _kind(leaf: Any) -> Kind:
    if is_key(leaf):
        return "last"
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return "mean"
    return "sum" if jnp.issubdtype(leaf.dtype, jnp.integer) else "last"
