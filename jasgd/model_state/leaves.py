"""The model state as leaves beside the parameters', and how what workers make of it becomes one state.

Schemes share one tuple of leaves: those of the parameters, then those of the model state. So both are read, published
and kept together, under every scheme, and a gradient carries behind its own leaves what its worker offers for the model
state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jasgd.inputs.asked import asks_for
from jasgd.showing import Shown

Leaves = tuple[Any, ...]
Kind = Literal["mean", "sum", "last"]  # how what several workers offer for a leaf becomes one


@dataclasses.dataclass(frozen=True, repr=False)
class ModelState(Shown):
    """The structure of a model state, and how a worker's new one is merged into the published one.

    A worker that read :math:`s_r` and made :math:`s` of it changes the published :math:`p` to :math:`s` in a floating
    leaf, to :math:`p + (s - s_r)` in an integer one, and to :math:`s` in any other; ``merge`` replaces all that.

    Attributes:
      structure: that the leaves are put back into.
      kinds: of each leaf: ``"mean"`` for a floating one, ``"sum"`` for an integer one, ``"last"`` for others.
      keys: of each leaf the implementation of the typed PRNG key whose data it is; None for what is no key.
      merge: ``merge(published, new)``, see :func:`jasgd.train`; None for the above.
    """

    structure: Any
    kinds: tuple[Kind, ...]
    keys: tuple[str | None, ...]
    merge: Callable[..., Any] | None = None

    def _facts(self) -> dict[str, Any]:
        return {"leaves": len(self.kinds), "kinds": ", ".join(sorted(set(self.kinds))), "merge": self.merge}

    @property
    def offers(self) -> tuple[Kind, ...]:
        """Of each leaf that a worker offers, how several become one: first what it made, then, to merge, what it read.

        Workers whose gradients share a commit have read the same state.
        """
        return self.kinds + (() if self.merge is None else ("last",) * len(self.kinds))

    @property
    def adds(self) -> tuple[bool, ...]:
        """Of each leaf, whether :meth:`changes` gives what is to be added, and not what takes the leaf's place."""
        return tuple(kind == "sum" and self.merge is None for kind in self.kinds)

    def tree(self, leaves: Leaves) -> Any:
        """The model state as the loss takes it."""
        both = zip(leaves, self.keys, strict=True)
        wrapped = [leaf if impl is None else jax.random.wrap_key_data(leaf, impl=impl) for leaf, impl in both]
        return jax.tree.unflatten(self.structure, wrapped)

    def leaves_of(self, tree: Any) -> Leaves:
        """The leaves of a model state, a typed PRNG key as its data; none is of a weak type."""
        both = zip(jax.tree.leaves(tree), self.keys, strict=True)
        plain = [leaf if impl is None else jax.random.key_data(leaf) for leaf, impl in both]
        return tuple(jnp.asarray(leaf, dtype=jnp.result_type(leaf)) for leaf in plain)

    def offered(self, read: Leaves, new: Leaves) -> Leaves:
        """What a worker offers, traced: new values, of integer leaves their change; to merge, what it read as well."""
        both = zip(self.kinds, read, new, strict=True)
        # A leaf that stays as it is would be the very array that was read, which may not be donated.
        made = tuple(after - before if kind == "sum" else jnp.copy(after) for kind, before, after in both)
        return made if self.merge is None else made + tuple(map(jnp.copy, read))

    def changes(self, published: Leaves, offered: Leaves) -> Leaves:
        """What takes the place of the published leaves, or is to be added to them where :attr:`adds` says so; traced.

        Args:
          published: leaves of the model state now.
          offered: by a worker, or combined of several workers'.

        Returns:
          A leaf for each of the published ones, of the same shape and dtype.
        """
        if self.merge is None:
            return tuple(map(jnp.copy, offered))  # for the same reason as above
        made, read = offered[: len(self.kinds)], offered[len(self.kinds) :]
        both = zip(self.kinds, read, made, strict=True)
        new = tuple(before + change if kind == "sum" else change for kind, before, change in both)
        merged = self.merged(self.tree(published), self.tree(new), self.tree(read))
        return tuple(map(jnp.copy, self.leaves_of(merged)))

    def merged(self, published: Any, new: Any, read: Any) -> Any:
        """What ``merge`` gives, which may ask for what the worker has read."""
        assert self.merge is not None
        more = {"read": read} if asks_for(self.merge, "read") else {}
        return self.merge(published, new, **more)

    def successor(self, published: Leaves, changes: Leaves) -> Leaves:
        """The next leaves; traced."""
        both = zip(self.adds, published, changes, strict=True)
        return tuple(leaf + change if adds else change for adds, leaf, change in both)
