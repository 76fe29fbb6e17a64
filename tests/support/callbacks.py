"""States of runs made by hand, and callbacks that note what they were called for."""

import numpy as np

from jasgd.callbacks import Callback, RunState
from jasgd.callbacks.recent_progress import Progress
from jasgd.callbacks.state import Published, Source
from jasgd.record.execution import row_dtype

EVENTS = ("on_start", "on_progress", "on_evaluation", "on_checkpoint", "on_end")


def rows_of(staleness):
    rows = np.zeros(len(staleness), row_dtype(dropped=False))
    rows["staleness"], rows["version"] = staleness, np.arange(len(staleness))
    return rows


def state_of(
    *,
    version=0,
    time_s=0.0,
    loss=1.0,
    evaluation=None,
    staleness=(),
    updates_per_s=10.0,
    stop=None,
    **options,
):
    """The state of a run that is not there."""
    progress = Progress(version, time_s, updates_per_s, loss, 1.0, 1.0, 0, evaluation)
    rows = rows_of(staleness)
    source = Source(
        lambda count: rows[-count:],
        lambda: Published(version, {"w": version}, ()),
        lambda count: {},
        lambda count: {},
        stop or (lambda reason: None),
    )
    return RunState(source, progress, **options)


class Noting(Callback):
    """Notes the events, and does what it is asked in one of them."""

    def __init__(self, then=None, event="on_progress"):
        self.events, self.then, self.event = [], then, event

    def _note(self, name, state):
        self.events.append(name)
        if self.then is not None and name == self.event:
            self.then(state)


for _name in EVENTS:
    setattr(Noting, _name, lambda self, state, name=_name: self._note(name, state))
