"""What is refused before a batch is drawn or anything is traced: a loss, parameters or an optimizer that are none."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.finiteness import require_finite
from jasgd.inputs.array_leaves import refuse_lossy
from jasgd.inputs.asked import asks_for
from jasgd.inputs.checks import described, function, switch
from jasgd.model_state.arguments import check_model_state, module_hint, refuse_whole_module
from jasgd.rules.shown import LibraryRule

ASKED = ("key", "model_state")  # what a loss may ask for by name


def check_functions(
    loss_fn: Any, params: Any, tx: Any, *, has_aux: Any = False, model_state: Any = None, merge: Any = None
) -> None:
    """Refuses what can be seen to be wrong before a batch is drawn, anything is traced, or any array is copied.

    Args:
      loss_fn: see :func:`jasgd.train`, as are the others.
      params: a pytree of floating-point arrays.
      tx: an Optax transformation.
      has_aux: True or False.
      model_state: a pytree of arrays, or None.
      merge: a function, or None.

    Returns:
      None.

    Raises:
      TypeError, ValueError: naming the argument, its value and what is allowed.
    """
    switch("has_aux", has_aux)
    check_loss_fn(loss_fn)
    check_params(params)
    check_model_state(loss_fn, model_state, merge)
    check_tx(tx)


def check_loss_fn(loss_fn: Any) -> None:
    """TypeError where this is no function, or one that cannot be called with parameters and a batch."""
    function("loss_fn", loss_fn, "params, batch")
    try:
        signature = inspect.signature(loss_fn)
    except (TypeError, ValueError):  # some built-ins have no signature
        return
    try:
        signature.bind(None, None, **{name: None for name in ASKED if asks_for(loss_fn, name)})
    except TypeError:
        name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
        hint = _arguments_hint(signature)
        raise TypeError(f"loss_fn must be a function of (params, batch), got {name}{signature}{hint}") from None


def _arguments_hint(signature: inspect.Signature) -> str:
    kinds = inspect.Parameter
    required = [p for p in signature.parameters.values() if p.default is kinds.empty]
    if forced := [p.name for p in required if p.kind is kinds.KEYWORD_ONLY]:
        return f": give it {', '.join(forced)} beforehand, as with functools.partial"
    if len(required) > 2:
        return ": take the batch as one argument, and unpack it inside, as in x, y = batch"
    return ""


def check_params(params: Any) -> None:
    """TypeError or ValueError where a leaf of the parameters is no floating-point array that can be copied."""
    with_paths = jax.tree_util.tree_leaves_with_path(params)
    if not with_paths:
        raise ValueError("params must have at least one array, got an empty pytree")
    refuse_whole_module(params)
    for path, leaf in with_paths:
        where = "params" + jax.tree_util.keystr(path)
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"{where} must be a concrete array, got a traced one: runs cannot start in jax.jit or grad")
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            hint = _leaf_hint(params, leaf)
            raise TypeError(f"{where} must be a jax or NumPy array, got {described(leaf)}{hint}")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            hint = _dtype_hint(params, leaf.dtype)
            raise TypeError(f"{where} must be of a floating-point dtype, got {leaf.dtype}{hint}")
        refuse_lossy(leaf, where)
        if isinstance(leaf, jax.Array) and leaf.is_deleted():
            raise ValueError(f"{where} must hold its numbers, got an array that was deleted, as donated ones are")
        require_finite(where, leaf)


def _leaf_hint(params: Any, leaf: Any) -> str:
    if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
        return f": wrap it, as in jnp.array({float(leaf)})"
    if hint := module_hint(params):
        return hint
    if leaf is params and callable(leaf):
        return ": pass its parameters, a pytree of arrays"
    if hasattr(leaf, "shape"):
        return f", a {type(leaf).__name__} without numbers"
    return ""


def _dtype_hint(params: Any, dtype: Any) -> str:
    if any(kind.__module__.partition(".")[0] == "flax" for kind in type(params).__mro__):
        return ": pass the parameters alone, as nnx.split(model, nnx.Param, ...) gives them"
    if jnp.issubdtype(dtype, jnp.complexfloating) or getattr(dtype, "kind", "") == "O":
        return ""
    return ": what is not trained belongs into the batch, or into what loss_fn closes over"


def check_tx(tx: Any) -> None:
    """TypeError where this is no Optax transformation; the message says how to come to one."""
    if callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None)) and not isinstance(tx, type):
        return
    raise TypeError(f"tx must be an Optax gradient transformation, got {described(tx)}: {_tx_hint(tx)}")


def _tx_hint(tx: Any) -> str:
    """How to come to a transformation from what was passed."""
    if callable(getattr(getattr(tx, "tx", None), "update", None)):
        return "pass its .tx"
    if isinstance(tx, (list, tuple)) and tx and all(hasattr(one, "update") for one in tx):
        return "chain them, as in optax.chain(one, two)"
    if isinstance(tx, (int, float)) and not isinstance(tx, bool):
        return f"give it to an optimizer, as in optax.sgd({tx})"
    if isinstance(tx, LibraryRule):
        return "a rule goes into jasgd.staleness_adaptive(rule), which is chained with an optimizer"
    if not inspect.isroutine(tx) and not isinstance(tx, type):
        return "pass one such as optax.sgd(0.1)"
    name = tx.__name__
    try:
        signature = inspect.signature(tx)
    except (TypeError, ValueError):
        return f"call it, as in {name}(...)"
    gives = str(signature.return_annotation)
    if "GradientTransformation" in gives or isinstance(tx, type):
        return f"call it, as in {name}(...)"
    if gives.endswith("Rule") or {"staleness", "tau", "law"} & set(signature.parameters):
        return "a rule goes into jasgd.staleness_adaptive(rule), which is chained with an optimizer"
    return f"a schedule goes into an optimizer, as in optax.sgd({name})"
