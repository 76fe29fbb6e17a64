"""An execution that ends earlier than it did."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jasgd.record.execution import Execution
from jasgd.showing import brief


def truncated(execution: Execution, commits: int) -> Execution:
    """What an execution would have been, had it ended after so many commits.

    Args:
      execution: any that is valid.
      commits: 0 … :attr:`Execution.commits`.

    Returns:
      The rows before version ``commits``, what was dropped before the last of them was committed, and as in flight the
      gradients that were under way then, so that the conservation of staleness holds as before.

    Raises:
      ValueError: for a number outside that range.

    Example:
      >>> from jasgd import cluster
      >>> whole = cluster.generate(cluster.Cluster(compute_s=1.0), scheme="hogwild", workers=2, steps=10)
      >>> one = truncated(whole, 1)
      >>> len(one), one.metadata["in_flight"]
      (1, [[0, 1], [1, 0]])
    """
    if not 0 <= commits <= execution.commits:
        raise ValueError(f"commits must be in 0…{execution.commits}, got {brief(repr(commits))}")
    kept = execution.version < commits
    dropped = execution.dropped
    lost = dropped.version < commits  # not by time, which Hogwild's commits do not end in the order of
    later = [(np.inf, version, worker) for worker, version in execution.metadata.get("in_flight", [])]
    for table, gone in ((execution, ~kept), (dropped, ~lost)):
        columns = (table.time_s[gone].tolist(), table.version_read[gone].tolist(), table.worker[gone].tolist())
        later.extend(zip(*columns, strict=True))
    under_way: dict[int, int] = {}
    for _, version, worker in sorted(later):  # what each worker does next
        if worker >= 0 and version <= commits:
            under_way.setdefault(int(worker), int(version))
    metadata = execution.metadata | {"in_flight": [list(pair) for pair in sorted(under_way.items())]}
    if unfinished := execution.metadata.get("unfinished"):
        metadata["unfinished"] = [version for version in unfinished if version < commits]
    return _cut(execution, kept, dropped=_cut(dropped, lost), metadata=metadata)


def _cut(table: Any, rows: np.ndarray, **others: Any) -> Any:
    names = [f.name for f in dataclasses.fields(table) if isinstance(getattr(table, f.name), np.ndarray)]
    return dataclasses.replace(table, **{name: getattr(table, name)[rows] for name in names}, **others)
