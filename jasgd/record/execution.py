"""The execution: which version of the parameters each applied gradient was computed on, and what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from jasgd.inputs.checks import switch
from jasgd.record.row_hashes import row_hashes
from jasgd.record.saving.arrays import SavedRunError, read_arrays, write_arrays
from jasgd.record.saving.files import write_whole
from jasgd.record.saving.manifest import located
from jasgd.showing import Shown

if TYPE_CHECKING:
    from pandas import DataFrame

#: column → dtype, in the order of the files; times in seconds, staleness in updates.
COLUMNS: dict[str, type] = {
    "worker": np.int32,
    "ticket": np.int64,
    "version_read": np.int64,
    "version": np.int64,
    "staleness": np.int64,
    "factor": np.float32,
    "loss": np.float32,
    "tries": np.int32,
    "time_s": np.float64,
}
#: "stale": older than ``max_staleness``; "contended": more failed publications than the persistence bound allows.
DROP_REASONS = ("stale", "contended")


def row_dtype(*, dropped: bool) -> np.dtype:
    """The structured dtype of a row; a dropped one also has the index of its reason."""
    columns = list(COLUMNS.items()) + ([("reason", np.int8)] if dropped else [])
    return np.dtype(columns)


class ExecutionError(ValueError):
    """An execution contradicts itself; the message names the first offending row."""


@dataclasses.dataclass(frozen=True, repr=False)
class Drops(Shown):
    """The gradients that were computed and not applied; columns as in :class:`Execution`, plus ``reason``."""

    worker: np.ndarray
    ticket: np.ndarray
    version_read: np.ndarray
    version: np.ndarray  # at which the gradient was dropped
    staleness: np.ndarray
    factor: np.ndarray  # NaN: none was taken
    loss: np.ndarray
    tries: np.ndarray
    time_s: np.ndarray
    reason: np.ndarray  # index into DROP_REASONS
    row_hash: np.ndarray | None = None  # as in Execution

    def __len__(self) -> int:
        return len(self.version)

    def _facts(self) -> dict[str, Any]:
        reasons = {why: int(np.sum(self.reason == index)) for index, why in enumerate(DROP_REASONS)}
        return {"gradients": len(self)} | (reasons if len(self) else {})


@dataclasses.dataclass(frozen=True, repr=False)
class Execution(Shown):
    """One row per applied gradient, in the order of versions; the rows of a synchronous commit share theirs.

    Attributes:
      worker: which worker computed the gradient, -1 where none did; int32.
      ticket: index of the mini-batch; int64.
      version_read: commits before the parameters were read; int64.
      version: commits before this one; commit k turns version k into k + 1; int64.
      staleness: version - version_read, in updates; int64.
      factor: C(τ); float32.
      loss: of the mini-batch at the parameters that were read; float32.
      tries: attempts at publication; int32.
      time_s: seconds from the start of the run to the commit; float64.
      dropped: the gradients that were not applied.
      metadata: scheme, workers, seed, versions of the libraries and the like; values that JSON can hold. ``unfinished``
        lists the versions of Hogwild's commits that failed half-way or did not end, which have no row. ``parts`` has,
        of a run that was gone on with, for each part ``from_version`` and its scheme, workers, devices and environment;
        of the last what differs from the part before. ``ended_s`` is the time of its end.
      row_hash: FNV-1a over the columns of each row, as the run wrote them; uint64. It names the row that was altered
        since, see :meth:`unaltered`. None where none was taken.

    Example:
      >>> import numpy as np
      >>> rows = np.zeros(2, row_dtype(dropped=False))
      >>> rows["version"] = [0, 1]
      >>> rows["staleness"] = [0, 1]
      >>> rows["ticket"] = [0, 1]
      >>> execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 2})
      >>> execution.validate()
      >>> execution.commits, execution.staleness.tolist()
      (2, [0, 1])
    """

    worker: np.ndarray
    ticket: np.ndarray
    version_read: np.ndarray
    version: np.ndarray
    staleness: np.ndarray
    factor: np.ndarray
    loss: np.ndarray
    tries: np.ndarray
    time_s: np.ndarray
    dropped: Drops
    metadata: dict[str, Any]
    row_hash: np.ndarray | None = None

    @classmethod
    def from_rows(cls, applied: np.ndarray, dropped: np.ndarray, metadata: dict[str, Any]) -> Execution:
        """An execution from the ledger's two structured arrays, in any order."""
        if not _is_in_order(applied):
            applied = applied[np.lexsort((applied["ticket"], applied["version"]))]
        dropped = dropped[np.argsort(dropped["time_s"], kind="stable")]
        columns = {name: np.ascontiguousarray(applied[name]) for name in COLUMNS}
        drops = {name: np.ascontiguousarray(dropped[name]) for name in [*COLUMNS, "reason"]}
        lost = Drops(**drops, row_hash=row_hashes(drops.values()))
        return cls(**columns, dropped=lost, metadata=metadata, row_hash=row_hashes(columns.values()))

    def __len__(self) -> int:
        return len(self.version)

    def _facts(self) -> dict[str, Any]:
        return {
            "commits": self.commits,
            "gradients": len(self),
            "dropped": len(self.dropped),
            "workers": self.metadata.get("workers"),
            "scheme": self.metadata.get("scheme"),
            "seed": self.metadata.get("seed"),
            "mean_staleness": self.staleness.mean() if len(self) else None,
            "max_staleness": self.staleness.max() if len(self) else None,
        }

    @property
    def commits(self) -> int:
        """Number of versions that were made, T."""
        applied = [int(self.version[-1]) + 1] if len(self) else []
        return max([*applied, *(version + 1 for version in self.metadata.get("unfinished", []))], default=0)

    @property
    def workers(self) -> int:
        """Number of workers, m; of a run that other numbers of them have gone on with, that of its last part."""
        return int(self.metadata["workers"])

    @property
    def most_workers(self) -> int:
        """The largest number of workers that a part of the run had; m where it was made in one go."""
        return max([self.workers, *(int(part["workers"]) for part in self.metadata.get("parts", ()))])

    def validate(self) -> None:
        """Checks that the execution is one that can have happened.

        Raises:
          ExecutionError: naming the first row whose versions leave a gap, whose staleness is not the difference of its
            versions, which was read in the future, whose worker does not exist, or whose ticket came twice.
        """
        unfinished = np.asarray(self.metadata.get("unfinished", []), np.int64)
        # As if the versions of commits that did not end had not been given out.
        steps = np.diff(self.version - np.searchsorted(unfinished, self.version), prepend=-1)
        worker_ok = (self.worker >= -1) & (self.worker < self.most_workers)
        first_use = np.zeros(len(self), bool)
        first_use[np.unique(self.ticket, return_index=True)[1]] = True
        checks = (
            ((steps == 1) | (steps == 0), "version {version} does not follow the version of the row before"),
            (self.version_read >= 0, "version_read {version_read} is negative"),
            (self.version_read <= self.version, "version_read {version_read} lies after version {version}"),
            (
                self.staleness == self.version - self.version_read,
                "staleness {staleness} is not version - version_read",
            ),
            (worker_ok, "worker {worker} is none of -1…" + str(self.most_workers - 1)),
            (first_use | (self.worker == -1), "ticket {ticket} was applied before"),
        )
        failures = [(int(np.argmin(ok)), text) for ok, text in checks if not ok.all()]
        if failures:
            row, text = min(failures, key=lambda failure: failure[0])  # of one row, the first check
            values = {name: getattr(self, name)[row] for name in COLUMNS}
            raise ExecutionError(f"row {row}: {text.format(**values)}")

    def unaltered(self) -> None:
        """Checks that the rows are those that the run wrote.

        Raises:
          ExecutionError: naming the first row that does not have its hash.
        """
        for text, table, names in (
            ("row", self, list(COLUMNS)),
            ("dropped row", self.dropped, [*COLUMNS, "reason"]),
        ):
            if table.row_hash is None:
                continue
            hashes = row_hashes(getattr(table, name) for name in names)
            if hashes.shape != table.row_hash.shape:
                raise ExecutionError(f"{text}s: {len(table.row_hash)} were written, {len(hashes)} are there")
            if len(altered := np.flatnonzero(hashes != table.row_hash)):
                raise ExecutionError(f"{text} {altered[0]}: was altered since the run wrote it, or its hash was")

    def conservation(self) -> dict[str, int]:
        r"""Where the staleness went: :math:`\sum\tau + \sum\tau_{dropped} + \text{in flight} + \text{gaps} = mT - N`.

        Each of T commits makes every worker that did not take part in it staler by one; N rows were applied. In an
        asynchronous scheme N = T, so the right side is (m - 1)·T. A gap runs from a worker's commit to its next read;
        a run that was gone on with has the largest number of workers as m, and gaps where it had fewer.

        Returns:
          A dict with the integers applied, dropped, in_flight, gaps, and total, the right side.
        """
        total = self.commits
        in_flight = {int(w): int(v) for w, v in self.metadata.get("in_flight", [])}
        # A worker's gaps are its reads, each less the end of what came before it: in whatever order, their sum is all
        # reads less all ends. One that reads nothing at the end is as if it read the last version.
        gaps = sum(in_flight.get(worker, total) for worker in range(self.most_workers))
        # An applied gradient's worker is current after its own commit, a dropped one's at the drop.
        for table, own in ((self, 1), (self.dropped, 0)):
            by_worker = table.worker >= 0
            gaps += int(np.sum((table.version_read - table.version - own)[by_worker]))
        return {
            "applied": int(self.staleness.sum()),
            "dropped": int(self.dropped.staleness.sum()),
            "in_flight": sum(total - version for version in in_flight.values()),
            "gaps": gaps,
            "total": self.most_workers * total - len(self),
        }

    def replaced(self, **columns: np.ndarray) -> Execution:
        """A copy with other columns, as if it had been written so.

        Args:
          **columns: some of the columns of applied gradients, of as many rows; brought to their dtypes.

        Returns:
          The copy.

        Raises:
          ValueError: for a column of another length, or a name that is none.

        Example:
          >>> rows = np.zeros(2, row_dtype(dropped=False))
          >>> rows["version"], rows["staleness"], rows["ticket"] = [0, 1], [0, 1], [0, 1]
          >>> execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 2})
          >>> execution.replaced(loss=np.ones(2)).loss
          array([1., 1.], dtype=float32)
        """
        cast = {}
        for name, column in columns.items():
            if name not in COLUMNS or np.shape(column) != (len(self),):
                allowed = f"one of {', '.join(COLUMNS)}, of length {len(self)}"
                raise ValueError(f"a column must be {allowed}, got {name} of shape {np.shape(column)}")
            cast[name] = np.ascontiguousarray(column, COLUMNS[name])
        other = dataclasses.replace(self, **cast)
        return dataclasses.replace(other, row_hash=row_hashes(getattr(other, name) for name in COLUMNS))

    def to_pandas(self, *, dropped: bool = False) -> DataFrame:
        """The gradients as a table of pandas, one a row.

        Args:
          dropped: whether to list the gradients that were dropped, with the ``reason`` in words, in place of those
            that were applied.

        Returns:
          A ``pandas.DataFrame`` with the columns worker, ticket, version_read, version, staleness, factor, loss, tries
          and time_s, in the order of versions.

        Raises:
          ImportError: without pandas, naming the extra.
          TypeError: where ``dropped`` is not True or False.

        Example:
          >>> rows = np.zeros(2, row_dtype(dropped=False))
          >>> rows["version"], rows["staleness"], rows["ticket"] = [0, 1], [0, 1], [0, 1]
          >>> execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 2})
          >>> execution.to_pandas()["staleness"].tolist()
          [0, 1]
        """
        from jasgd.presenting.dataframes import frame_of

        table = self.dropped if switch("dropped", dropped) else self
        columns = {name: getattr(table, name) for name in COLUMNS}
        if dropped:
            columns["reason"] = np.array(DROP_REASONS, object)[self.dropped.reason]
        return frame_of(columns)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every column, those of the dropped gradients prefixed by ``dropped.``."""
        tables = [("", self), ("dropped.", self.dropped)]
        return {
            prefix + field.name: hashlib.sha256(column.tobytes()).hexdigest()
            for prefix, table in tables
            for field in dataclasses.fields(table)
            if isinstance(column := getattr(table, field.name), np.ndarray)
        }

    def save(self, path: str | Path) -> None:
        """Writes one .npz file, with the metadata and a hash per column in it as JSON.

        At any moment there is the old file or the new one, also where the process is killed.

        Args:
          path: the file; its folder must exist.

        Raises:
          OSError: where it cannot be written; an old file is then as it was.
        """
        columns = {name: getattr(self, name) for name in COLUMNS}
        drops = {f"dropped.{name}": getattr(self.dropped, name) for name in [*COLUMNS, "reason"]}
        if self.row_hash is not None:
            columns["row_hash"] = self.row_hash
        if self.dropped.row_hash is not None:
            drops["dropped.row_hash"] = self.dropped.row_hash
        header = json.dumps({"metadata": self.metadata, "hashes": self.hashes()}, sort_keys=True)
        file = io.BytesIO()
        write_arrays(file, columns | drops | {"header": np.array(header)}, compress=True)
        write_whole(Path(path), file.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Execution:
        """Reads what :meth:`save` wrote, and checks hashes and invariants.

        Args:
          path: the file.

        Returns:
          The execution.

        Raises:
          ExecutionError: where a column is missing, its hash is wrong, or the rows contradict each other; it names the
            first such row.
          SavedRunError: where the file is damaged.
          OSError: where the file cannot be read.
        """
        with located(Path(path)).open("rb") as file:
            return cls.read(file, path)

    @classmethod
    def read(cls, file: BinaryIO, path: str | Path) -> Execution:
        """Reads an execution from an open file, as :meth:`load` does.

        Args:
          file: in binary mode.
          path: for messages.

        Returns:
          The execution.
        """
        try:
            arrays = read_arrays(file)
            header = json.loads(str(arrays["header"]))
            columns = {name: arrays[name] for name in COLUMNS}
            drops = {name: arrays[f"dropped.{name}"] for name in [*COLUMNS, "reason"]}
            row_hashes = [
                arrays[name] if name in header["hashes"] else None for name in ("row_hash", "dropped.row_hash")
            ]
        except KeyError as missing:
            raise ExecutionError(f"{path}: no column {missing}") from None
        except SavedRunError as error:
            raise SavedRunError(f"{path} {error}") from error
        except (ValueError, TypeError) as error:
            raise SavedRunError(f"{path} has a damaged header: {error}") from error
        lost = Drops(**drops, row_hash=row_hashes[1])
        execution = cls(**columns, dropped=lost, metadata=header["metadata"], row_hash=row_hashes[0])
        for name, present in execution.hashes().items():
            if present != header["hashes"].get(name):
                message = f"{path}: column {name} has hash {present}, expected {header['hashes'].get(name)}"
                try:
                    execution.unaltered()
                except ExecutionError as where:
                    message += f"; {where}"
                raise ExecutionError(message)
        execution.validate()
        return execution


def _is_in_order(rows: np.ndarray) -> bool:
    versions, tickets = (np.diff(np.ascontiguousarray(rows[name])) for name in ("version", "ticket"))
    return bool(np.all((versions > 0) | ((versions == 0) & (tickets >= 0))))
