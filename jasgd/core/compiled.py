"""The two traced functions of a run, over flat tuples of leaves: the gradient, and its application.

A flat tuple of eight arrays is dispatched in two thirds of the time of a dict, and the schemes need not know the
structure of what they share. Where a run has a model state, its leaves follow those of the parameters in the same
tuples: whatever a scheme reads, publishes or keeps has both.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd.distances.transformation import DistanceAdaptiveState
from jasgd.inputs.asked import called_with_asked
from jasgd.model_state.leaves import ModelState
from jasgd.showing import Shown
from jasgd.transforms import StalenessAdaptiveState

Leaves = tuple[Any, ...]
ADAPTIVE = (StalenessAdaptiveState, DistanceAdaptiveState)  # states that have a factor
KNOWN = 256  # values of τ that are kept as arrays


class Asked(NamedTuple):
    """What a transformation has asked for, where the worker is a part of it."""

    read_params: Leaves  # empty where it has not asked for them
    worker: Any  # int32


@dataclasses.dataclass(frozen=True, repr=False)
class Compiled(Shown):
    """The functions of one run; each is traced once and may be called by several threads at once.

    Attributes:
      loss_fn: ``loss_fn(params, batch) -> loss`` or ``(loss, aux)``; with a model state
        ``loss_fn(params, batch, model_state=…) -> (loss, new_state)`` or ``(loss, (new_state, aux))``.
      tx: the Optax transformation.
      params_structure: structure that the parameters' leaves are put back into.
      state_structure: likewise for the optimizer state.
      has_aux: whether ``loss_fn`` returns aux.
      wants_read_params: whether ``tx`` asks for the parameters that the gradient was computed on.
      needs_params: whether what ``tx`` does depends on the current parameters.
      wants_worker: whether ``tx`` asks for the worker that computed the gradient.
      model_state: what follows the parameters among the leaves; None where nothing does.
    """

    loss_fn: Callable[..., Any]
    tx: optax.GradientTransformationExtraArgs
    params_structure: Any
    state_structure: Any
    has_aux: bool
    wants_read_params: bool
    needs_params: bool
    wants_worker: bool = False
    model_state: ModelState | None = None

    def _facts(self) -> dict[str, Any]:
        switches = {
            name: getattr(self, name) for name in ("has_aux", "wants_read_params", "needs_params", "wants_worker")
        }
        return {"loss_fn": self.loss_fn} | switches

    def parted(self, leaves: Leaves) -> tuple[Leaves, Leaves]:
        """The leaves of the parameters, and those of the model state; of a gradient its own, and what is offered."""
        count = self.params_structure.num_leaves
        return leaves[:count], leaves[count:]

    def params_of(self, leaves: Leaves) -> Any:
        """The parameters among leaves, in their structure."""
        return jax.tree.unflatten(self.params_structure, self.parted(leaves)[0])

    def model_state_of(self, leaves: Leaves) -> Any:
        """The model state among leaves, in its structure; None without one."""
        return None if self.model_state is None else self.model_state.tree(self.parted(leaves)[1])

    def evaluated(self, evaluate: Callable[..., Any], leaves: Leaves, state: Leaves) -> Any:
        """What ``evaluate`` gives of the parameters among leaves; it may ask for model state and optimizer state."""
        offered = {"opt_state": lambda: jax.tree.unflatten(self.state_structure, state)}
        if self.model_state is not None:
            offered["model_state"] = lambda: self.model_state_of(leaves)
        return called_with_asked(evaluate, self.params_of(leaves), **offered)

    @functools.cached_property
    def combining(self) -> tuple[str, ...]:
        """Of each leaf of a gradient, what several become that share a commit: their mean, their sum, or the last."""
        offers = () if self.model_state is None else self.model_state.offers
        return ("mean",) * self.params_structure.num_leaves + offers

    @functools.cached_property
    def adds(self) -> tuple[bool, ...]:
        """Of each leaf, whether what :attr:`update` gives is to be added to it; else it takes the leaf's place."""
        return (True,) * self.params_structure.num_leaves + (() if self.model_state is None else self.model_state.adds)

    def gradient_like(self, leaves: Leaves) -> Leaves:
        """Of the leaves that :attr:`gradient` gives those with the same shapes and dtypes."""
        offered = () if self.model_state is None else self.parted(leaves)[1]
        return leaves + offered if len(self.combining) > len(leaves) else leaves

    @functools.cached_property
    def gradient(self) -> Callable[[Leaves, Any], tuple[jax.Array, Any, Leaves]]:
        """``gradient(leaves, batch) -> (loss, aux, gradient leaves)``; aux is None without one.

        Behind the gradient of the parameters are the leaves that are offered for the model state.
        """

        def loss_of(params: Leaves, read: Leaves, batch: Any) -> tuple[Any, Any]:
            tree = jax.tree.unflatten(self.params_structure, params)
            if self.model_state is None:
                out = self.loss_fn(tree, batch)
                return out if self.has_aux else (out, None)
            loss, more = self.loss_fn(tree, batch, model_state=self.model_state.tree(read))
            new, aux = more if self.has_aux else (more, None)
            return loss, (aux, self.model_state.leaves_of(new))

        def gradient(leaves: Leaves, batch: Any) -> tuple[jax.Array, Any, Leaves]:
            self.batch_shapes.setdefault(_written(batch))
            params, read = self.parted(leaves)
            (loss, aux), grads = jax.value_and_grad(loss_of, has_aux=True)(params, read, batch)
            if self.model_state is None:
                return loss, aux, grads
            aux, new = aux
            return loss, aux, grads + self.model_state.offered(read, new)

        return jax.jit(gradient)

    @functools.cached_property
    def batch_shapes(self) -> dict[str, None]:
        """The shapes of mini-batches that :attr:`gradient` was traced for, in their order; any thread may add some."""
        return {}

    @functools.cached_property
    def apply(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """``apply(leaves, state leaves, gradient leaves, τ, loss, asked) -> (leaves, state leaves, C)``."""
        return jax.jit(self.traced_apply)

    @functools.cached_property
    def apply_in_place(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """Like :attr:`apply`; the first two arguments are donated, so only their sole owner may call it."""
        return jax.jit(self.traced_apply, donate_argnums=(0, 1))

    @functools.cached_property
    def apply_in_place_and_copy(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array, Leaves]]:
        """Like :attr:`apply_in_place`, with a copy of the new leaves besides, in memory that is not donated later."""

        def apply(*args: Any) -> tuple[Leaves, Leaves, jax.Array, Leaves]:
            leaves, state, factor = self.traced_apply(*args)
            return leaves, state, factor, _copied(leaves)

        return jax.jit(apply, donate_argnums=(0, 1))

    @functools.cached_property
    def apply_into(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """Like :attr:`apply`, with leaves before them that are donated: the new ones are written to their memory."""
        return _writing_to(self.traced_apply)

    @functools.cached_property
    def apply_mean(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """``apply_mean(leaves, state leaves, [gradient leaves, ...], [loss, ...], asked)``, at τ = 0."""
        return jax.jit(self.traced_apply_mean)

    @functools.cached_property
    def update(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """Like :attr:`apply`, but returns the update itself, for a store that adds it component by component.

        Of the model state's leaves, :attr:`adds` says which are to be added, and which replace the shared ones.
        """
        return jax.jit(self._update)

    @functools.cached_property
    def update_in_place(self) -> Callable[..., tuple[Leaves, Leaves, jax.Array]]:
        """Like :attr:`update`; the gradient is donated, and the update is written to its memory."""
        return jax.jit(self._update, donate_argnums=2)

    @functools.cached_property
    def copy(self) -> Callable[[Leaves], Leaves]:
        """Fresh buffers with the values of the given ones."""
        return jax.jit(_copied)

    @functools.cached_property
    def copy_into(self) -> Callable[[Leaves, Leaves], Leaves]:
        """The values of the second leaves, written to the memory of the first, which are donated."""
        return _writing_to(_copied)

    def staleness_array(self, tau: int) -> jax.Array:
        """τ as an array on the device; a number of NumPy's would be copied there at every call."""
        known = self._known
        return known[tau] if tau < KNOWN else jax.device_put(np.int32(tau))

    @functools.cached_property
    def _known(self) -> list[jax.Array]:
        return [jax.device_put(np.int32(tau)) for tau in range(KNOWN)]

    def asked(self, read_params: Leaves, worker: int) -> Any:
        """What the transformation has asked for of a gradient; nothing, which is dispatched faster, where that is all.

        Args:
          read_params: leaves of the parameters that it was computed on.
          worker: that computed it; -1 for the mean of several workers' gradients.

        Returns:
          The last argument of :attr:`apply` and of its like.
        """
        read = self.parted(read_params)[0] if self.wants_read_params else ()
        if not self.wants_worker:
            return read
        return Asked(read, self.staleness_array(worker) if worker >= 0 else np.int32(worker))

    def _update(self, leaves: Any, state: Leaves, grads: Leaves, staleness: Any, loss: Any, read: Any) -> Any:
        unflatten = functools.partial(jax.tree.unflatten, self.params_structure)
        (leaves, published), (grads, offered) = self.parted(leaves), self.parted(grads)
        extras: dict[str, Any] = {"staleness": staleness, "value": loss}
        if self.wants_worker:
            read, extras["worker"] = read
        if self.wants_read_params:
            extras["read_params"] = unflatten(read)
        updates, new_state = self.tx.update(
            unflatten(grads),
            jax.tree.unflatten(self.state_structure, state),
            unflatten(leaves),
            **extras,
        )
        changes = tuple(jax.tree.leaves(updates))
        if self.model_state is not None:
            changes += self.model_state.changes(published, offered)
        return changes, tuple(jax.tree.leaves(new_state)), factor_of(new_state)

    def traced_apply(self, leaves: Leaves, state: Leaves, grads: Leaves, staleness: Any, loss: Any, read: Any) -> Any:
        """What :attr:`apply` compiles, for a caller that traces it as a part of something else."""
        updates, new_state, factor = self._update(leaves, state, grads, staleness, loss, read)
        (params, published), (updates, changes) = self.parted(leaves), self.parted(updates)
        applied: Any = optax.apply_updates(params, updates)
        if self.model_state is not None:
            applied += self.model_state.successor(published, changes)
        return applied, new_state, factor

    def traced_apply_mean(self, leaves: Leaves, state: Leaves, grads: Any, losses: Any, read: Any) -> Any:
        """What :attr:`apply_mean` compiles."""
        count = len(grads)
        mean = grads[0] if count == 1 else tuple(map(_combined, self.combining, zip(*grads, strict=True)))
        loss = losses[0] if count == 1 else sum(losses[1:], losses[0]) / count
        return self.traced_apply(leaves, state, mean, np.int32(0), loss, read)


def _combined(how: str, parts: Any) -> Any:
    """What several gradients of a commit, in the order of their tickets, become in one leaf."""
    if how == "last":
        return parts[-1]
    total = sum(parts[1:], parts[0])
    return total / len(parts) if how == "mean" else total


def _written(batch: Any) -> str:
    """Structure, dtypes and shapes of a mini-batch as text."""
    return str(jax.tree.map(lambda leaf: f"{jnp.result_type(leaf)}{list(np.shape(leaf))}", batch)).replace("'", "")


def _copied(leaves: Leaves) -> Leaves:
    return tuple(jnp.copy(leaf) for leaf in leaves)


def _writing_to(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function with one more argument, the first: it is donated, and the results lie in its memory."""
    return jax.jit(lambda into, *args: function(*args), donate_argnums=0, keep_unused=True)


def factor_of(state: Any) -> jax.Array:
    """C of the last update, from the first transformation that adapts steps in an optimizer state; 1 without one."""
    ours = [
        node
        for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, ADAPTIVE))
        if isinstance(node, ADAPTIVE)
    ]
    return ours[0].factor if ours else jnp.ones((), jnp.float32)
