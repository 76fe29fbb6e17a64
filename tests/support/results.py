"""Results and comparisons made by hand, without training."""

import numpy as np

from jasgd.experiments.arms import Arm
from jasgd.experiments.comparison import Comparison
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult


def result_of(losses, *, outcome=Outcome.FINISHED, factor=1.0, staleness=0, evaluations=(), rate=100.0, dropped=0):
    """A run by hand: a commit every 1/rate seconds, each as stale, as far as there are versions to be stale by."""
    rows = np.zeros(len(losses), row_dtype(dropped=False))
    rows["version"] = np.arange(len(losses))
    rows["version_read"] = np.maximum(rows["version"] - staleness, 0)
    rows["staleness"] = rows["version"] - rows["version_read"]
    rows["ticket"], rows["loss"], rows["factor"], rows["tries"] = rows["version"], losses, factor, 1
    rows["time_s"] = (1 + rows["version"]) / rate
    execution = Execution.from_rows(rows, np.zeros(dropped, row_dtype(dropped=True)), {"workers": 1, "in_flight": []})
    return TrainResult(
        {}, (), execution, outcome, "by hand", list(evaluations), {}, {}, float(len(losses) / rate)
    )  # fmt: skip


def with_times(execution, times):
    """The same execution, committed at these times in seconds."""
    rows = np.zeros(len(execution), row_dtype(dropped=False))
    for name in rows.dtype.names:
        rows[name] = getattr(execution, name)
    rows["time_s"] = times
    return Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), execution.metadata)


def by_hand(**arms):
    """A comparison of runs that are made by hand: for each arm a list of results, by seed."""
    settings = {"workers": 8, "scheme": "leashed"}
    labels = {name.replace("control", "constant@tail"): results for name, results in arms.items()}
    runs = {label: dict(enumerate(results)) for label, results in labels.items()}
    parsed = tuple(Arm.parse(label) for label in labels)
    seeds = tuple(range(max(3, *map(len, runs.values()))))
    return Comparison("by hand", parsed, seeds, settings, runs)
