"""The scalars that a loss function returns beside its loss: kept while a run goes on, columns at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.admission import aux_names

TOGETHER = 64  # gradients of one worker whose scalars are put together


class AuxColumns:
    """The aux of each gradient, by worker; a scalar takes a few bytes, where an array of JAX takes some 2 KB.

    A compiled function puts so many at a time together, in a sixth of the time that NumPy takes one by one.

    Guarantees. All workers may call ``note`` at once, each with its own number: no two share memory. ``of`` may be
    called while a worker that could not be stopped notes on.

    Args:
      workers: number of workers, ≥ 1.

    Example:
      >>> columns = AuxColumns(1)
      >>> columns.note(0, 7, {"accuracy": jnp.float32(0.5)})
      >>> columns.of(np.array([7, 8]))
      {'accuracy': array([0.5, nan], dtype=float32)}
    """

    def __init__(self, workers: int):
        self._waiting: list[list[tuple[int, Any]]] = [[] for _ in range(workers)]
        self._noted: list[list[tuple[list[int], list[np.ndarray]]]] = [[] for _ in range(workers)]
        self._like: Any = None  # any aux, for the names
        self._left: list[tuple[list[int], list[np.ndarray]]] = []  # put together, and not taken yet
        self._taken: set[int] = set()  # tickets that were taken and still wait to be put together
        self.earlier: tuple[np.ndarray, dict[str, np.ndarray]] | None = None  # tickets and columns of before

    def warm_up(self, like: Any, devices: Sequence[Any] = (None,)) -> None:
        """Compiles what puts scalars like these together, on each of the devices; None is JAX's default."""
        for dtype in {leaf.dtype for leaf in jax.tree.leaves(like)}:
            for device in devices:
                scalar = jnp.zeros((), dtype)
                _stacked(*[scalar if device is None else jax.device_put(scalar, device)] * TOGETHER)

    def note(self, worker: int, ticket: int, aux: Any) -> None:
        """Notes what the loss function gave for one gradient.

        Args:
          worker: whose gradient it is; int.
          ticket: of its mini-batch.
          aux: a pytree of scalars, of the same structure every time.
        """
        waiting = self._waiting[worker]
        waiting.append((ticket, aux))
        if len(waiting) == TOGETHER:
            self._like = aux
            self._noted[worker].append(_put_together(waiting))
            self._waiting[worker] = []

    def of(self, tickets: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of these gradients.

        Args:
          tickets: int64 of shape (n,).

        Returns:
          For each name, in the order of the leaves, an array of shape (n,), of a dtype for all its scalars.
          Where some tickets were not noted, as those of a commit that did not return, it is a floating-point one with
          NaN for them. Nothing where none of them was noted.
        """
        # What waits first: a worker may put it together meanwhile, and then it is found twice, and not never.
        alone = [part for waiting in list(self._waiting) for part in self._one_by_one(list(waiting))]
        parts = [*self._left, *(part for of_worker in self._noted for part in list(of_worker)), *alone]
        names = [] if self._like is None else aux_names(self._like)
        if self.earlier is not None and self.earlier[1]:
            names = list(self.earlier[1])
            parts.insert(0, (self.earlier[0].tolist(), list(self.earlier[1].values())))
        if not parts or not len(tickets):
            return {}
        noted = np.concatenate([np.asarray(numbers, np.int64) for numbers, _ in parts])
        order = np.argsort(noted, kind="stable")
        place = np.minimum(np.searchsorted(noted[order], tickets), len(noted) - 1)
        is_noted = noted[order][place] == tickets
        if not is_noted.any():
            return {}
        columns = {}
        for name, column in zip(names, zip(*(c for _, c in parts), strict=True), strict=True):
            values = np.concatenate(column)[order][place]
            if not is_noted.all():
                values = values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(np.float64)
                values[~is_noted] = np.nan
            columns[name] = values
        return columns

    def take(self, tickets: np.ndarray) -> dict[str, np.ndarray]:
        """Like :meth:`of`, and lets go of these; for one thread, while workers note others.

        Args:
          tickets: int64 of shape (n,).

        Returns:
          As :meth:`of`.
        """
        waiting = {ticket for of_worker in list(self._waiting) for ticket, _ in list(of_worker)}  # first, as in of()
        for of_worker in self._noted:
            new = list(of_worker)
            del of_worker[: len(new)]
            self._left += new
        columns = self.of(tickets)
        gone = self._taken | set(tickets.tolist())
        left = []
        for numbers, of_numbers in self._left:
            stays = [ticket not in gone for ticket in numbers]
            if any(stays):
                chosen = np.array(stays)
                left.append((np.asarray(numbers)[chosen].tolist(), [column[chosen] for column in of_numbers]))
        self._left, self._taken = left, gone & waiting
        return columns

    def newest(self, count: int) -> dict[str, np.ndarray]:
        """The columns of about the last gradients, while the workers note on; it takes no longer in a long run.

        Args:
          count: of gradients, ≥ 1.

        Returns:
          For each name an array of shape (n,), n ≤ count; nothing before there is one.
        """
        parts: list[tuple[list[int], list[np.ndarray]]] = []
        for worker, waiting in enumerate(self._waiting):  # a list that is put together meanwhile is whole all the same
            parts += self._noted[worker][-math.ceil(count / TOGETHER) :] + self._one_by_one(waiting[-count:])
        if not parts:
            return {}
        noted, place = np.unique(np.concatenate([numbers for numbers, _ in parts]), return_index=True)
        newest = place[np.argsort(noted)[-count:]]
        columns = zip(*(c for _, c in parts), strict=True)
        return {name: np.concatenate(c)[newest] for name, c in zip(aux_names(self._like), columns, strict=True)}

    def _one_by_one(self, waiting: list[tuple[int, Any]]) -> list[tuple[list[int], list[np.ndarray]]]:
        self._like = waiting[0][1] if waiting else self._like
        return [([ticket], [np.asarray(leaf)[None] for leaf in jax.tree.leaves(aux)]) for ticket, aux in waiting]


@jax.jit
def _stacked(*scalars: Any) -> Any:
    return jnp.stack(scalars)


def _put_together(waiting: list[tuple[int, Any]]) -> tuple[list[int], list[np.ndarray]]:
    columns = zip(*(jax.tree.leaves(aux) for _, aux in waiting), strict=True)
    return [ticket for ticket, _ in waiting], [np.array(_stacked(*column)) for column in columns]
