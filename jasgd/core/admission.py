"""What is checked before a run starts: parameters, loss, and a transformation that gets its staleness."""

from __future__ import annotations

import inspect
import re
import traceback
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.finiteness import require_finite
from jasgd.rules.protocol import evaluate


def admit(
    loss_fn: Any, params: Any, tx: Any, batch: Any, *, has_aux: bool = False, device: Any = None
) -> tuple[Compiled, Leaves, Leaves]:
    """Checks a run's functions on shapes alone, and flattens parameters and optimizer state.

    Args:
      loss_fn: ``loss_fn(params, batch) -> loss``, or ``(loss, aux)`` with ``has_aux``.
      params: pytree of floating-point arrays.
      tx: an Optax transformation.
      batch: any batch of the run.
      has_aux: whether ``loss_fn`` returns aux.
      device: where parameters and optimizer state are put, None for JAX's default.

    Returns:
      The functions to trace, the leaves of the parameters, the leaves of the optimizer state.

    Raises:
      TypeError: for a leaf that is no floating-point array, a loss that is no floating-point scalar, an aux that is
        no scalar, a transformation that is none, or that loses or refuses ``staleness`` and ``value``; for one that
        raises a TypeError when it is traced, which is the cause. Other errors are noted with where they came about.
      ValueError: for parameters without leaves, or that are not finite, or two aux of one name.
    """
    leaves, params_structure = _flatten(params, device)
    # The private copy keeps the caller's arrays from being donated or shared.
    params = jax.tree.unflatten(params_structure, leaves)
    _check_loss(loss_fn, params, batch, has_aux)
    tx = with_extras(tx)
    state = tx.init(params)
    state_leaves, state_structure = jax.tree.flatten(state)
    # An explicit dtype strips weak types, which would make the second update compile again.
    state_leaves = tuple(jnp.array(leaf, dtype=jnp.result_type(leaf)) for leaf in state_leaves)
    if device is not None:
        state_leaves = tuple(jax.device_put(leaf, device) for leaf in state_leaves)
    wants_read_params, needs_params = _try_update(tx, params, jax.tree.unflatten(state_structure, state_leaves))
    compiled = Compiled(loss_fn, tx, params_structure, state_structure, has_aux, wants_read_params, needs_params)
    return compiled, leaves, state_leaves


def _flatten(params: Any, device: Any) -> tuple[Leaves, Any]:
    with_paths, structure = jax.tree_util.tree_flatten_with_path(params)
    if not with_paths:
        raise ValueError("params must have at least one array, got an empty pytree")
    for path, leaf in with_paths:
        where = "params" + jax.tree_util.keystr(path)
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            raise TypeError(f"{where} must be a jax or NumPy array, got {type(leaf).__name__}")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{where} must be of a floating-point dtype, got {leaf.dtype}")
        require_finite(where, leaf)
    arrays = [jnp.array(np.array(leaf)) if isinstance(leaf, np.ndarray) else jnp.copy(leaf) for _, leaf in with_paths]
    # Strong types, for the same reason as above.
    arrays = [jnp.asarray(a, dtype=a.dtype) for a in arrays]
    return tuple(arrays if device is None else [jax.device_put(a, device) for a in arrays]), structure


def _check_loss(loss_fn: Any, params: Any, batch: Any, has_aux: bool) -> None:
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a function of (params, batch), got {type(loss_fn).__name__}")
    out = jax.eval_shape(loss_fn, params, batch)
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"loss_fn must return (loss, aux) with has_aux=True, got {_shapes(out)}")
        out, aux = out
        for path, leaf in jax.tree_util.tree_leaves_with_path(aux):
            if leaf.shape != ():
                raise TypeError(f"aux{jax.tree_util.keystr(path)} of loss_fn must be a scalar, got {_shapes(leaf)}")
        if len(set(names := aux_names(aux))) < len(names):
            raise ValueError(f"aux of loss_fn must have distinct names, got {', '.join(names)}")
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"loss_fn must return a floating-point scalar, got {_shapes(out)}")


def aux_names(aux: Any) -> list[str]:
    """Names of the columns that ``result.aux`` has, one per leaf.

    Example:
      >>> aux_names({"accuracy": 1.0, "norms": (2.0, 3.0)}), aux_names(1.0)
      (['accuracy', 'norms/0', 'norms/1'], ['aux'])
    """
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(aux)]
    return [jax.tree_util.keystr(path, simple=True, separator="/") or "aux" for path in paths]


def with_extras(tx: Any) -> optax.GradientTransformationExtraArgs:
    """Makes a transformation accept extra arguments; MultiSteps and its like pass theirs on."""
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"tx must be an Optax gradient transformation, got {type(tx).__name__}")
    parameters = inspect.signature(tx.update).parameters.values()
    # One that names an extra argument keeps it; if it refuses the others, the error says so.
    if any(p.kind is inspect.Parameter.VAR_KEYWORD or p.name in ("staleness", "value") for p in parameters):
        return optax.GradientTransformationExtraArgs(tx.init, tx.update)
    return optax.with_extra_args_support(optax.GradientTransformation(tx.init, tx.update))


def _try_update(tx: optax.GradientTransformationExtraArgs, params: Any, state: Any) -> tuple[bool, bool]:
    """A trial on shapes: whether tx asks for ``read_params``, and whether its result depends on ``params``."""

    def trace(*names: str) -> tuple[Any, Any]:
        def update(grads: Any, state: Any, params: Any, tau: Any, value: Any, read: Any) -> Any:
            return tx.update(grads, state, params, staleness=tau, value=value, **dict.fromkeys(names, read))

        traced = jax.make_jaxpr(update, return_shape=True)
        return traced(params, state, params, np.int32(0), np.float32(0), params)

    n_params, n_state = len(jax.tree.leaves(params)), len(jax.tree.leaves(state))
    wants_read_params = False
    try:
        try:
            jaxpr, (updates, new_state) = trace()
        except TypeError as error:
            if not _asks_for("read_params", error):
                raise
            wants_read_params = True
            jaxpr, (updates, new_state) = trace("read_params")
    except TypeError as error:
        raise _explained(error) from error
    except Exception as error:
        error.add_note(_failed(error))
        raise
    if _shapes(updates) != _shapes(params):
        raise TypeError(f"tx must return updates like params, got {_shapes(updates)} for {_shapes(params)}")
    if _shapes(new_state) != _shapes(state):
        raise TypeError(f"tx must keep the shapes of its state, got {_shapes(new_state)} after {_shapes(state)}")
    used = {id(v) for eqn in jaxpr.jaxpr.eqns for v in eqn.invars} | {id(v) for v in jaxpr.jaxpr.outvars}
    current = jaxpr.jaxpr.invars[n_params + n_state : 2 * n_params + n_state]
    return wants_read_params, any(id(v) in used for v in current)


def _explained(error: TypeError) -> TypeError:
    text = str(error)
    if _asks_for("staleness", error):
        return TypeError(
            "tx must hand 'staleness' on to the transformation inside that needs it, and loses it: a wrapper such as "
            "optax.MultiSteps or optax.lookahead inside a chain drops extra arguments. Put staleness_adaptive outside "
            f"of it, or make it optax.GradientTransformationExtraArgs(wrapped.init, wrapped.update). Optax says: {text}"
        )
    if not _in_rule(error) and re.search(r"unexpected keyword argument '(staleness|value|read_params)'", text):
        return TypeError(f"tx must accept the extra arguments 'staleness' and 'value', and refuses them: {text}")
    if _asks_for("", error):
        return TypeError(f"tx may ask for no extra arguments but 'staleness', 'value' and 'read_params': {text}")
    return TypeError(f"{_failed(error)}: {type(error).__name__}: {text}")


def _asks_for(name: str, error: TypeError) -> bool:
    """Whether an update was called without a keyword that it requires; the empty name stands for any."""
    pattern = rf"missing \d+ required keyword-only arguments?: .*'{name or '.*'}'"
    return not _in_rule(error) and re.search(pattern, str(error)) is not None


def _failed(error: Exception) -> str:
    return f"{'the rule' if _in_rule(error) else 'tx.update'} failed while it was traced, before the run"


def _in_rule(error: Exception) -> bool:
    # A rule may miss keywords of functions of its own; what it calls them says nothing.
    return any(frame.f_code is evaluate.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


def _shapes(tree: Any) -> str:
    leaves, structure = jax.tree.flatten(tree)
    described = [
        f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__ for leaf in leaves
    ]
    return described[0] if len(described) == 1 else str(jax.tree.unflatten(structure, described))
