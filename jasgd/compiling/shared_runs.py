"""The functions of a run, compiled once for all runs that have the same."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax
import numpy as np
import optax

from jasgd.compiling.fingerprints import fingerprint
from jasgd.compiling.sharing import Shared, comparable
from jasgd.core.arguments import check_tx
from jasgd.core.compiled import Asked, Compiled, Leaves
from jasgd.inputs.asked import WithKey

_compiled: Shared[Compiled] = Shared()
LARGE_BYTES = 1 << 20  # of arrays that functions have captured, from which on only the newest compiled ones are kept


def shared_with_others(
    compiled: Compiled, tx: Any, update: Any, leaves: Leaves, batch: Any, device: Any = None
) -> Compiled:
    """The functions of a run with those that were compiled for others in this process.

    They are the same where loss function, transformation and ``merge`` are the same objects, and compute the same as
    they did; else nothing would tell that a variable which they read was changed since.

    Args:
      compiled: the functions of the run.
      tx: the transformation as the user gave it.
      update: what it computes, a closed jaxpr.
      leaves: of the parameters and the model state.
      batch: a mini-batch.
      device: where the run lives, None for JAX's default.

    Returns:
      Functions that keep loss function and transformation alive for this run, and no longer.
    """
    return _shared(compiled, (tx.init, tx.update), update, leaves, batch, device)


def shared_for_any_step(
    compiled: Compiled, tx_of: Any, step: Any, leaves: Leaves, state: Leaves, batch: Any, device: Any = None
) -> Compiled:
    """Like :func:`shared_with_others`, for a function from a step size to a transformation.

    Args:
      compiled: the functions of the run, with the transformation of ``step``.
      tx_of: the function.
      step: a step size, or a pytree of numbers.
      leaves: of the parameters and the model state.
      state: of the optimizer state.
      batch: a mini-batch.
      device: where the run lives, None for JAX's default.

    Returns:
      The functions; those that apply the transformation of one step size are not shared, and may not be called.
    """
    read, tau = compiled.parted(leaves)[0] if compiled.wants_read_params else (), np.int32(0)
    asked = Asked(read, tau) if compiled.wants_worker else read

    def update(step: Any, leaves: Leaves, state: Leaves, grads: Leaves, loss: Any, asked: Any) -> Any:
        return with_tx(compiled, tx_of(step)).traced_apply(leaves, state, grads, tau, loss, asked)

    grads = jax.eval_shape(lambda *args: compiled.traced_gradient(*args), leaves, batch)
    program = jax.make_jaxpr(update)(step, leaves, state, grads[2], grads[0], asked)
    return _shared(compiled, (tx_of,), program, leaves, batch, device)


def _shared(
    compiled: Compiled, of_tx: tuple[Any, ...], update: Any, leaves: Leaves, batch: Any, device: Any
) -> Compiled:
    about, loss_fn = compiled.model_state, compiled.loss_fn
    is_keyed = isinstance(loss_fn, WithKey)
    merge = None if about is None else about.merge
    origins = [loss_fn.loss_fn if is_keyed else loss_fn, *of_tx, *([] if merge is None else [merge])]
    # Functions of their own, since JAX keeps what it traced of a function, whatever that has become.
    programs = [jax.make_jaxpr(lambda leaves, batch: compiled.traced_gradient(leaves, batch))(leaves, batch), update]
    if about is not None and merge is not None:
        read = compiled.parted(leaves)[1]
        programs.append(jax.make_jaxpr(lambda old, new: about.changes(old, about.offered(old, new)))(read, read))
    config: Any = jax.config
    facts = (
        *(getattr(compiled, field.name) for field in dataclasses.fields(compiled) if field.name in _FACTS),
        None if about is None else dataclasses.replace(about, merge=None),
        is_keyed,
        device,
        config.jax_default_device,
    )
    computes = comparable(*map(fingerprint, programs), facts=facts)
    if computes is None:
        return compiled

    def make(weak: Any) -> Compiled:
        state = about if about is None or merge is None else dataclasses.replace(about, merge=weak[-1])
        return dataclasses.replace(
            compiled,
            loss_fn=WithKey(weak[0]) if is_keyed else weak[0],
            tx=_weakly(*weak[1:3]) if len(of_tx) == 2 else _none(),
            model_state=state,
        )

    is_large = sum(getattr(const, "nbytes", 0) for program in programs for const in program.consts) > LARGE_BYTES
    while (shares := _compiled.get(origins, computes, make, is_large=is_large)) is not None:
        if _still_so(shares, compiled, leaves):
            break
        _compiled.forget(origins, shares)
    else:
        return compiled
    sharing = dataclasses.replace(compiled, shares=shares)
    sharing.note_shape(batch)
    return sharing


def _still_so(shares: Compiled, compiled: Compiled, leaves: Leaves) -> bool:
    """Whether the gradients that were traced are what they would be now, of mini-batches of all kinds.

    Those of the first mini-batch are compared beforehand, but a function may read a variable for others alone.
    """
    for batch in list(shares.traced_for.values()):
        before = shares.gradient.trace(leaves, batch).jaxpr  # type: ignore[attr-defined]  # kept by JAX
        now = jax.make_jaxpr(lambda leaves, batch: compiled.traced_gradient(leaves, batch))(leaves, batch)
        if (kept := fingerprint(before)) is None or kept != fingerprint(now):
            return False
    return True


_FACTS = ("params_structure", "state_structure", "has_aux", "wants_read_params", "needs_params", "wants_worker")


def _weakly(init: Any, update: Any) -> optax.GradientTransformationExtraArgs:
    """The transformation of two functions, which it does not keep alive."""

    def updated(updates: Any, state: Any, params: Any = None, **extras: Any) -> Any:
        whole = with_extras(optax.GradientTransformation(init.function, update.function))
        return whole.update(updates, state, params, **extras)

    return optax.GradientTransformationExtraArgs(init, updated)


def _none() -> optax.GradientTransformationExtraArgs:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise TypeError("the transformation of one step size is not shared")

    return optax.GradientTransformationExtraArgs(refused, refused)


def with_tx(compiled: Compiled, tx: Any) -> Compiled:
    """The functions of a run with another transformation, for what is traced of them."""
    return dataclasses.replace(compiled, tx=with_extras(tx), shares=None)


def with_extras(tx: Any) -> optax.GradientTransformationExtraArgs:
    """Makes a transformation accept extra arguments; MultiSteps and its like pass theirs on."""
    check_tx(tx)
    parameters = inspect.signature(tx.update).parameters.values()
    # One that names an extra argument keeps it; if it refuses the others, the error says so.
    if any(p.kind is inspect.Parameter.VAR_KEYWORD or p.name in ("staleness", "value") for p in parameters):
        return optax.GradientTransformationExtraArgs(tx.init, tx.update)
    return optax.with_extra_args_support(optax.GradientTransformation(tx.init, tx.update))


def let_go() -> None:
    """Lets go of all compiled functions that later runs would share; runs under way keep theirs."""
    _compiled.clear()
