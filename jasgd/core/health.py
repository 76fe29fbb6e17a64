"""Whether the parameters that commits make are finite, and the first commit after which they are not.

A number of the parameters that is not finite stays so: every later update adds to it. A finite loss says nothing of it,
as a leaf may have no part in the loss, or have it for the mini-batches to come alone.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from jasgd.core.compiled import Leaves
from jasgd.core.finiteness import are_finite, first_nonfinite_leaf
from jasgd.core.messages import Snapshot, View

Look = Callable[[Leaves], bool]
EVERY = 16  # commits of which one is looked at, where looking is felt
SHARE = 0.03  # of the time of a gradient, that looking may take at every commit
SMALL = 2**16  # bytes of parameters below which what commits have made is kept: more would crowd caches


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


class Made(NamedTuple):
    """What a commit has made; its leaves are never changed."""

    version: int  # commits before it
    leaves: Leaves
    worker: int
    ticket: int
    before: View | Snapshot | None


class Health:
    """Looks at the parameters that commits make, and keeps the first commit after which they were not finite.

    Looking takes as long as reading the parameters' memory, which is felt where gradients are small. So of every few
    commits one is looked at, and what the others have made is kept for a while, where it is small and not changed in
    place: the first commit is known all the same.

    Guarantees. Any number of threads may call it; of several commits the one of the lowest version is kept.

    Attributes:
      first: that commit, None while all are finite.
      count: how many of the leaves, from the first on, are parameters, None for all: a model state behind them may hold
        what it likes, such as the infinity that a smallest value begins with.
    """

    def __init__(self) -> None:
        self.first: NonFiniteCommit | None = None
        self.count: int | None = None
        self._look: Look = are_finite
        self._every, self._keeps = 1, False
        self._kept: collections.deque[Made] = collections.deque(maxlen=EVERY)
        self._known_good = -1  # version of a commit up to which what was made was finite
        self._mutex = threading.Lock()

    def look_with(self, look: Look) -> None:
        """Sets what looks at the parameters' leaves; a scheme may call :meth:`look` to have it compiled."""
        self._look = look

    def adapt(self, leaves: Leaves, workers: int, gradient_s: float) -> None:
        """Chooses how many commits are looked at.

        Args:
          leaves: of parameters.
          workers: number of workers, ≥ 1.
          gradient_s: how long a gradient takes, in seconds.
        """
        look = self._look
        look(leaves)  # compiles it
        started = time.perf_counter()
        look(leaves)
        costs = time.perf_counter() - started > SHARE * gradient_s
        self._keeps = sum(leaf.nbytes for leaf in leaves) < SMALL
        self._every = EVERY if self._keeps or costs else 1
        self._kept = collections.deque(maxlen=EVERY + workers)  # as commits may be noted in another order

    def look(self, leaves: Leaves) -> bool:
        """Whether all numbers of the parameters among leaves are finite."""
        return self._look(leaves[: self.count])

    def first_bad(self, leaves: Leaves) -> int | None:
        """The number of the first leaf of the parameters that is not finite, or None."""
        return first_nonfinite_leaf(leaves[: self.count])

    def check(self, made: Made, *, in_place: bool = False, newest: Callable[[], int] | None = None) -> None:
        """Takes what a commit has made, and looks at it or keeps it.

        Args:
          made: what it has made.
          in_place: whether its leaves will be changed.
          newest: where commits may overlap, the version of the newest that may have made the leaves what they are.
        """
        if self._every > 1 and (made.version + 1) % self._every:
            if self._keeps and not in_place:
                self._keep(made)
        elif self.look(made.leaves):
            if newest is None:
                self.note_good(made.version)
        elif newest is not None:
            self.note_leaves(made.leaves, newest(), before=made.before)
        else:
            self.note_leaves(made.leaves, made.version, made.worker, made.ticket, made.before)

    def _keep(self, made: Made) -> None:
        """Keeps what a commit has made; what has to make room for it is looked at.

        Room runs out where a worker whose turn it is to look has no processor, and the others go on.
        """
        if len(self._kept) == self._kept.maxlen:
            with contextlib.suppress(IndexError):  # another thread was faster
                oldest = self._kept.popleft()
                if self.look(oldest.leaves):
                    self.note_good(oldest.version)
                else:
                    self.note_leaves(oldest.leaves, oldest.version, oldest.worker, oldest.ticket, oldest.before)
        self._kept.append(made)

    def note_good(self, version: int) -> None:
        """Notes that what a commit has made is finite, and so what all before it have made."""
        if version > self._known_good:  # a race leaves a lower one, which is as true
            self._known_good = version
        with contextlib.suppress(IndexError):  # other threads may have taken the rest
            while self._kept[0].version <= version:
                self._kept.popleft()

    def note_leaves(
        self, leaves: Leaves, version: int, worker: int = -1, ticket: int = -1, before: View | Snapshot | None = None
    ) -> None:
        """Notes the commit that made these leaves, where they are not finite; see :class:`NonFiniteCommit`."""
        leaf = self.first_bad(leaves)
        if leaf is not None:
            self.note(NonFiniteCommit(version, leaf, False, worker, ticket, before))

    def note(self, commit: NonFiniteCommit) -> None:
        """Takes notice of a commit after which parameters are not finite."""
        with self._mutex:
            if self.first is None or commit.version < self.first.version:
                self.first = commit

    def trace(self, newest: Snapshot | None) -> NonFiniteCommit | None:
        """The first commit, as exactly as is known, when no worker commits any more.

        Args:
          newest: what the last commit has made, None where that cannot be had.

        Returns:
          The commit, which is ``first`` then; None where all are finite.
        """
        if self.first is None and newest is not None:
            self.note_leaves(newest.params, max(0, newest.version - 1))
        first = self.first
        if first is None or first.exact:
            return first
        kept, all_known = {made.version: made for made in list(self._kept)}, True
        for version in range(self._known_good + 1, first.version):
            made = kept.get(version)
            if made is None:
                all_known = False
            elif (leaf := self.first_bad(made.leaves)) is not None:
                self.first = NonFiniteCommit(version, leaf, all_known, made.worker, made.ticket, made.before)
                return self.first
        self.first = dataclasses.replace(first, exact=all_known)
        return self.first
