"""Whether the parameters that commits make are finite, and the first commit after which they are not.

A number of the parameters that is not finite stays so: every later update adds to it. A finite loss says nothing of it,
as a leaf may have no part in the loss, or have it for the mini-batches to come alone.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.core.messages import Snapshot, View

Look = Callable[[Leaves], bool]


@dataclasses.dataclass(frozen=True)
class NonFiniteCommit:
    """The first commit after which parameters are not finite, as far as is known.

    Attributes:
      version: commits before it.
      leaf: the number of the first leaf that is not finite.
      exact: whether it is known to be the first; else it is this one or one before it.
      worker: whose gradient it applied; −1 where that is not known, or there were several.
      ticket: of that gradient, likewise.
      before: parameters from before it, None where none are left.
    """

    version: int
    leaf: int
    exact: bool
    worker: int = -1
    ticket: int = -1
    before: View | Snapshot | None = None

    def describe(self, paths: list[str]) -> str:
        """The same in a sentence; ``paths`` are those of the leaves."""
        is_exact = self.exact or self.version == 0
        which = f"commit {self.version}" if is_exact else f"commit {self.version} or one before it"
        of = f" (ticket {self.ticket}, worker {self.worker})" if self.ticket >= 0 else ""
        return f"{which} made params{paths[self.leaf]} not finite{of}"

    def recorded(self, paths: list[str]) -> dict[str, Any]:
        """The same for the metadata of an execution, as ``divergence``."""
        leaf = f"params{paths[self.leaf]}"
        return {
            "commit": self.version, "exact": self.exact, "leaf": leaf, "worker": self.worker, "ticket": self.ticket,
        }  # fmt: skip


class Health:
    """Looks at the parameters that commits make, and keeps the first commit after which they were not finite.

    Guarantees. Any number of threads may call it; of several commits the one of the lowest version is kept.

    Args:
      look: whether all numbers of leaves are finite, faster than :func:`are_finite`, which it is by default.

    Attributes:
      first: that commit, None while all are finite.
    """

    def __init__(self, look: Look | None = None):
        self.first: NonFiniteCommit | None = None
        self.look = look or are_finite
        self._mutex = threading.Lock()

    def note_leaves(
        self,
        leaves: Leaves,
        version: int,
        worker: int = -1,
        ticket: int = -1,
        before: View | Snapshot | None = None,
        *,
        exact: bool = False,
    ) -> None:
        """Notes the commit that made these leaves, where they are not finite; see :class:`NonFiniteCommit`."""
        leaf = first_nonfinite_leaf(leaves)
        if leaf is not None:
            self.note(NonFiniteCommit(version, leaf, exact, worker, ticket, before))

    def note(self, commit: NonFiniteCommit) -> None:
        """Takes notice of a commit after which parameters are not finite."""
        with self._mutex:
            if self.first is None or commit.version < self.first.version:
                self.first = commit


def require_finite(name: str, leaf: Any) -> None:
    """ValueError for an array with a number that is not finite, which no training would get rid of.

    Args:
      name: of the array, for the message.
      leaf: an array of JAX or NumPy.

    Raises:
      ValueError: that says where the first such number is.
    """
    if first_nonfinite_leaf((leaf,)) is not None:
        numbers = np.asarray(leaf)
        place = tuple(np.argwhere(~np.isfinite(numbers))[0].tolist())
        raise ValueError(f"{name} must be finite, got {numbers[place]} at {list(place)}")


def paths_of(structure: Any) -> list[str]:
    """Of the leaves of a pytree, such as ``['dense']['kernel']``.

    Example:
      >>> paths_of(jax.tree.structure({"a": 1, "b": (2, 3)}))
      ["['a']", "['b'][0]", "['b'][1]"]
    """
    tree = jax.tree.unflatten(structure, range(structure.num_leaves))
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def are_finite(leaves: Leaves) -> bool:
    """Whether all numbers of floating-point arrays are finite.

    Args:
      leaves: arrays of JAX or NumPy.

    Returns:
      Whether they are.

    Example:
      >>> are_finite((np.ones(3), jnp.zeros(2))), are_finite((np.ones(3), np.array([0, np.inf])))
      (True, False)
    """
    return not np.isnan(np.asarray(_nan_if_not_finite(leaves)))


def first_nonfinite_leaf(leaves: Leaves) -> int | None:
    """The number of the first array with a number that is not finite, or None.

    Args:
      leaves: arrays of JAX or NumPy; those that are no floating-point arrays are finite.

    Returns:
      The number, from 0.

    Example:
      >>> first_nonfinite_leaf((np.ones(3), np.array([0, np.nan])))
      1
    """
    for number, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(np.asarray(leaf)).all():
            return number
    return None


@jax.jit
def _nan_if_not_finite(leaves: Leaves) -> Any:
    # A product with 0 is 0 or NaN, and no sum of it can overflow; half the time of isfinite and all on CPUs.
    return sum((jnp.sum(leaf * 0).astype(jnp.float32) for leaf in leaves), jnp.float32(0))
