"""What is checked before a run starts: parameters, loss, and a transformation that gets its staleness."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd.compiling.shared_runs import shared_with_others, with_extras
from jasgd.core.arguments import check_functions
from jasgd.core.compiled import Compiled, Leaves
from jasgd.data import BatchesExhausted
from jasgd.inputs.array_leaves import refuse_batch
from jasgd.inputs.asked import asks_for
from jasgd.model_state.leaves import ModelState
from jasgd.model_state.returned import admit_model_state, without_new_state
from jasgd.rules.protocol import evaluate
from jasgd.showing import brief


def admit(
    loss_fn: Any,
    params: Any,
    tx: Any,
    batch: Any,
    *,
    has_aux: bool = False,
    model_state: Any = None,
    merge: Any = None,
    device: Any = None,
    share: bool = True,
) -> tuple[Compiled, Leaves, Leaves]:
    """Checks a run's functions on shapes alone, and flattens parameters, model state and optimizer state.

    What was compiled for an earlier run of the same functions, which still compute the same, is taken again.

    Args:
      loss_fn: ``loss_fn(params, batch) -> loss``, or ``(loss, aux)`` with ``has_aux``.
      params: pytree of floating-point arrays.
      tx: an Optax transformation.
      batch: any batch of the run.
      has_aux: whether ``loss_fn`` returns aux.
      model_state: pytree of arrays that the loss makes anew, None for none.
      merge: as of :func:`jasgd.train`.
      device: where all leaves are put, None for JAX's default.
      share: whether compiled functions are shared with earlier runs.

    Returns:
      The functions to trace, the leaves of the parameters with those of the model state behind them, the leaves of the
      optimizer state.

    Raises:
      TypeError: for a leaf that is no floating-point array, a batch that has a masked array, SciPy's sparse one or a
        text, a loss that is no floating-point scalar, an aux that is no scalar, a new model state that is not like the
        given one, a transformation that is none, or that loses or refuses ``staleness`` and ``value``; for one that
        raises a TypeError when it is traced, which is the cause. Other errors are noted with where they came about.
      ValueError: for parameters without leaves, or that are not finite, or two aux of one name.
    """
    check_functions(loss_fn, params, tx, has_aux=has_aux, model_state=model_state, merge=merge)
    leaves, params_structure = _flatten(params, device)
    about, model_leaves = None, ()
    if model_state is not None:
        about, model_leaves = admit_model_state(model_state, merge, device)
    # The private copy keeps the caller's arrays from being donated or shared.
    params = jax.tree.unflatten(params_structure, leaves)
    _check_loss(loss_fn, params, batch, has_aux, about, model_leaves)
    given, tx = tx, with_extras(tx)
    try:
        state = tx.init(params)
    except Exception as error:
        error.add_note(f"tx.init(params) failed before the run, with params {_short(params)}")
        raise
    state_leaves, state_structure = jax.tree.flatten(state)
    # An explicit dtype strips weak types, which would make the second update compile again.
    state_leaves = tuple(jnp.array(leaf, dtype=jnp.result_type(leaf)) for leaf in state_leaves)
    if device is not None:
        state_leaves = tuple(jax.device_put(leaf, device) for leaf in state_leaves)
    asked, needs_params, update = _try_update(tx, params, jax.tree.unflatten(state_structure, state_leaves))
    wants_read_params, wants_worker = "read_params" in asked, "worker" in asked
    needs_params |= merge is not None  # which takes the published model state, read together with them
    compiled = Compiled(
        loss_fn, tx, params_structure, state_structure, has_aux, wants_read_params, needs_params, wants_worker, about
    )
    leaves += model_leaves
    if share:
        compiled = shared_with_others(compiled, given, update, leaves, batch, device)
    return compiled, leaves, state_leaves


def first_batch(batches: Callable[..., Any]) -> Any:
    """The mini-batch of ticket 0, for worker 0; an error on the way is noted with where it came about."""
    try:
        return batches(0, worker=0) if asks_for(batches, "worker") else batches(0)
    except BatchesExhausted:
        raise
    except Exception as error:
        error.add_note("batches(0) failed before the run: batches must be a function of a ticket, or an iterator")
        raise


def _flatten(params: Any, device: Any) -> tuple[Leaves, Any]:
    with_paths, structure = jax.tree_util.tree_flatten_with_path(params)
    arrays = [jnp.array(np.array(leaf)) if isinstance(leaf, np.ndarray) else jnp.copy(leaf) for _, leaf in with_paths]
    # Strong types, for the same reason as above.
    arrays = [jnp.asarray(a, dtype=a.dtype) for a in arrays]
    return tuple(arrays if device is None else [jax.device_put(a, device) for a in arrays]), structure


def _check_loss(
    loss_fn: Any, params: Any, batch: Any, has_aux: bool, about: ModelState | None, model_leaves: Leaves
) -> None:
    refuse_batch(batch, "batches(0)")
    try:
        if about is None:
            # A function of its own, since JAX keeps what it traced of one, and of a loss with all that it has captured.
            out = jax.eval_shape(functools.partial(loss_fn), params, batch)
        else:
            out = jax.eval_shape(
                lambda params, batch, leaves: loss_fn(params, batch, model_state=about.tree(leaves)),
                params,
                batch,
                model_leaves,
            )
    except Exception as error:
        # What the user's own code says seldom shows which argument was which.
        shapes = f"params {_short(params)} and the batch {_short(batch)}"
        error.add_note(f"loss_fn(params, batch) failed while it was traced, before the run, with {shapes}")
        raise
    if about is not None:
        out = without_new_state(about, model_leaves, out, has_aux=has_aux)
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            hint = ": leave has_aux out, or return both" if _is_loss(out) else ""
            hint = ": return a tuple of the two" if isinstance(out, (list, dict)) and len(out) == 2 else hint
            raise TypeError(f"loss_fn must return (loss, aux) with has_aux=True, got {_short(out)}{hint}")
        out, aux = out
        for path, leaf in jax.tree_util.tree_leaves_with_path(aux):
            if leaf.shape != ():
                name = f"aux{jax.tree_util.keystr(path)}"
                raise TypeError(
                    f"{name} of loss_fn must be a scalar, got {_shapes(leaf)}: take its .mean(), or leave it out"
                )
        if len(set(names := aux_names(aux))) < len(names):
            raise ValueError(f"aux of loss_fn must have distinct names, got {', '.join(names)}")
    if not _is_loss(out):
        hint = _loss_hint(out, params)
        raise TypeError(f"loss_fn must return a floating-point scalar, got {_short(out)}{hint and f': {hint}'}")


def _is_loss(out: Any) -> bool:
    return getattr(out, "shape", None) == () and jnp.issubdtype(out.dtype, jnp.floating)


def _loss_hint(out: Any, params: Any) -> str:
    """What to do about a result that is no loss; empty where nothing is likely."""
    if out is None:
        return "a return is missing"
    like_params = jax.tree.structure(params)
    if jax.tree.structure(out) == like_params and like_params.num_leaves > 1:
        return "pass the loss itself, and not jax.grad of it"
    if isinstance(out, tuple) and len(out) == 2 and _is_loss(out[0]):
        if jax.tree.structure(out[1]) == like_params and _shapes(out[1]) == _shapes(params):
            return "pass the loss itself, and not jax.value_and_grad of it"
        return "pass has_aux=True, or return the loss alone"
    if not hasattr(out, "dtype"):
        return "return the loss alone, or (loss, aux) with has_aux=True"
    if not jnp.issubdtype(out.dtype, jnp.floating):
        is_complex = jnp.issubdtype(out.dtype, jnp.complexfloating)
        return "take its .real" if is_complex else f"{out.dtype} has no gradient, so compute it in floating point"
    return "take its .mean(), or its only number with [0]" if out.shape == (1,) else "take its .mean()"


def aux_names(aux: Any) -> list[str]:
    """Names of the columns that ``result.aux`` has, one per leaf.

    Example:
      >>> aux_names({"accuracy": 1.0, "norms": (2.0, 3.0)}), aux_names(1.0)
      (['accuracy', 'norms/0', 'norms/1'], ['aux'])
    """
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(aux)]
    return [jax.tree_util.keystr(path, simple=True, separator="/") or "aux" for path in paths]


def _try_update(tx: optax.GradientTransformationExtraArgs, params: Any, state: Any) -> tuple[list[str], bool, Any]:
    """A trial on shapes: what tx asks for, whether its result depends on ``params``, and what it computes."""

    def trace(names: list[str]) -> tuple[Any, Any]:
        def update(grads: Any, state: Any, params: Any, tau: Any, value: Any, extras: Any) -> Any:
            given = {name: extras[name] for name in names}
            return tx.update(grads, state, params, staleness=tau, value=value, **given)

        traced = jax.make_jaxpr(update, return_shape=True)
        extras = {"read_params": params, "worker": np.int32(0)}
        return traced(params, state, params, np.int32(0), np.float32(0), extras)

    n_params, n_state = len(jax.tree.leaves(params)), len(jax.tree.leaves(state))
    asked: list[str] = []
    while True:
        try:
            jaxpr, (updates, new_state) = trace(asked)
            break
        except TypeError as error:
            more = [name for name in ("read_params", "worker") if name not in asked and _asks_for(name, error)]
            if not more:
                raise _explained(error) from error
            asked += more[:1]
        except Exception as error:
            error.add_note(_failed(error))
            raise
    if _shapes(updates) != _shapes(params):
        raise TypeError(f"tx must return updates like params, got {_apart(updates, params)}")
    if _shapes(new_state) != _shapes(state):
        raise TypeError(f"tx must keep the shapes of its state, got {_apart(new_state, state)}")
    used = {id(v) for eqn in jaxpr.jaxpr.eqns for v in eqn.invars} | {id(v) for v in jaxpr.jaxpr.outvars}
    current = jaxpr.jaxpr.invars[n_params + n_state : 2 * n_params + n_state]
    return asked, any(id(v) in used for v in current), jaxpr


def _explained(error: TypeError) -> TypeError:
    text = str(error)
    if _asks_for("staleness", error):
        return TypeError(
            "tx must hand 'staleness' on to the transformation inside that needs it, and loses it: a wrapper such as "
            "optax.MultiSteps or optax.lookahead inside a chain drops extra arguments. Put staleness_adaptive outside "
            f"of it, or make it optax.GradientTransformationExtraArgs(wrapped.init, wrapped.update). Optax says: {text}"
        )
    if not _in_rule(error) and re.search(r"unexpected keyword argument '(staleness|value|read_params|worker)'", text):
        return TypeError(f"tx must accept the extra arguments 'staleness' and 'value', and refuses them: {text}")
    if _asks_for("", error):
        return TypeError(
            f"tx may ask for no extra arguments but 'staleness', 'value', 'read_params' and 'worker': {text}"
        )
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
    is_leaf = jax.tree_util.treedef_is_leaf(structure)
    return described[0] if is_leaf and described else str(jax.tree.unflatten(structure, described))


def _short(tree: Any) -> str:
    return brief(_shapes(tree), 200)


def _apart(tree: Any, like: Any) -> str:
    """Where two trees of arrays differ first; whole trees of a large network would fill the screen."""
    if jax.tree.structure(tree) == jax.tree.structure(like):
        for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(like), strict=True):
            if _shapes(leaf) != _shapes(other):
                return f"{_shapes(leaf)} for {_shapes(other)} at {jax.tree_util.keystr(path) or 'its only leaf'}"
    return f"{_short(tree)} for {_short(like)}"
