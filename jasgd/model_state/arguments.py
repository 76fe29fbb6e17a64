"""What is refused of a model state before anything is traced, and models that are handed over whole."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jasgd.inputs.array_leaves import refuse_dtype, refuse_lossy
from jasgd.inputs.asked import asks_for
from jasgd.inputs.checks import described, function

SPLIT = "graphdef, params, model_state = nnx.split(model, nnx.Param, ...)"
COLLECTIONS = "variables = model.init(key, x); params = variables.pop('params'); model_state = variables"
PARTITION = "params, static = eqx.partition(model, eqx.is_inexact_array)"


def check_model_state(loss_fn: Any, model_state: Any, merge: Any) -> None:
    """Refuses a model state that cannot be one, and one that the loss does not ask for, or asks for in vain.

    Args:
      loss_fn: see :func:`jasgd.train`, as are the others.
      model_state: a pytree of arrays; None for none.
      merge: a function, or None.

    Returns:
      None.

    Raises:
      TypeError, ValueError: naming the argument, its value and what is allowed.
    """
    function("merge", merge, "published, new", optional=True)
    if model_state is None:
        if merge is not None:
            raise ValueError("merge must be left out where there is no model_state, which is what it merges")
        if _must_have(loss_fn, "model_state"):
            raise ValueError("model_state must be given, as loss_fn asks for it by that name; got None")
        return
    if not asks_for(loss_fn, "model_state"):
        raise ValueError(
            "model_state is given, so loss_fn must ask for it by name, as in loss_fn(params, batch, model_state), and "
            "return (loss, new_state); it has no argument of that name"
        )
    if "nnx.Module" in (kinds := libraries_kinds(model_state)):
        raise TypeError(f"model_state must be the model's state alone, got a whole nnx.Module: {SPLIT}")
    if "nnx.Param" in kinds:
        raise TypeError(f"model_state must not have parameters, got some nnx.Param: {SPLIT}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(model_state):
        where = "model_state" + jax.tree_util.keystr(path)
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"{where} must be a concrete array, got a traced one: runs cannot start in jax.jit or grad")
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
            raise TypeError(f"{where} must be a jax or NumPy array, got {described(leaf)}{module_hint(model_state)}")
        if isinstance(leaf, jax.Array) and leaf.is_deleted():
            raise ValueError(f"{where} must hold its numbers, got an array that was deleted, as donated ones are")
        if not is_key(leaf):
            refuse_lossy(leaf, where)
        if isinstance(leaf, np.ndarray):
            refuse_dtype(leaf, where)


def check_evaluate(evaluate: Any, model_state: Any) -> None:
    """Refuses what is no function, or one that asks for a model state which the run does not have.

    Args:
      evaluate: see :func:`jasgd.train`; None for none.
      model_state: likewise.

    Raises:
      TypeError, ValueError: naming the argument, its value and what is allowed.
    """
    function("evaluate", evaluate, "params", optional=True)
    if evaluate is not None and model_state is None and _must_have(evaluate, "model_state"):
        raise ValueError("model_state must be given, as evaluate asks for it by that name; got None")


def refuse_whole_module(params: Any) -> None:
    """TypeError for parameters that are a whole model, whose other arrays would stay as they are, silently.

    Args:
      params: see :func:`jasgd.train`.

    Raises:
      TypeError: that says how the library at hand parts a model.
    """
    others = sorted(libraries_kinds(params) & {"nnx.BatchStat", "nnx.RngState", "nnx.Variable"})
    if others:
        raise TypeError(
            f"params must be the parameters alone, got {', '.join(others)} among them, which no optimizer changes: "
            f"{SPLIT}, and train(..., params, ..., model_state=model_state)"
        )
    if isinstance(params, Mapping) and {"params", "batch_stats"} <= set(params):
        raise TypeError(
            f"params must be the parameters alone, got Linen's collections {', '.join(map(str, params))}: {COLLECTIONS}"
        )


def module_hint(tree: Any) -> str:
    """What to do about a leaf that is no array, where the tree is a module of a library; empty elsewhere."""
    kinds = libraries_kinds(tree)
    if "nnx.Module" in kinds:
        return f"; part the model: {SPLIT}"
    if "linen.Module" in kinds:
        return f"; a Linen module has no arrays: {COLLECTIONS}"
    if "equinox.Module" in kinds:
        return f"; part the model: {PARTITION}, and put it together in loss_fn with eqx.combine(params, static)"
    return ""


def libraries_kinds(tree: Any) -> set[str]:
    """Which kinds of nodes of Flax and Equinox a tree has, without importing either.

    Example:
      >>> libraries_kinds({"w": np.zeros(2)})
      set()
    """
    found: set[str] = set()

    def look(node: Any) -> bool:
        kind = _kind(type(node))
        if kind:
            found.add(kind)
        return kind.startswith("nnx.") and kind != "nnx.Module"

    jax.tree.leaves(tree, is_leaf=look)
    return found


def _kind(node: type) -> str:
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}": kind for kind in node.__mro__}
    if "flax.Variable" in names:
        return next((f"nnx.{n}" for n in ("Param", "BatchStat", "RngState") if f"flax.{n}" in names), "nnx.Variable")
    if "flax.Module" in names:
        return "nnx.Module" if ".nnx" in names["flax.Module"].__module__ else "linen.Module"
    return "equinox.Module" if "equinox.Module" in names else ""


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed PRNG key."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _must_have(loss_fn: Any, name: str) -> bool:
    return asks_for(loss_fn, name) and inspect.signature(loss_fn).parameters[name].default is inspect.Parameter.empty
