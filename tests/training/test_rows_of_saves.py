"""A save has every row below its version, also where a worker writes one long after its publication."""

import hashlib
import threading

import numpy as np
import optax
import pytest
from support.callbacks import Noting
from support.training_runs import mean_square

import jasgd
from jasgd.core.ledger import Ledger
from jasgd.record.checkpoints.layout import segments_above
from jasgd.record.checkpoints.segments import Link, read_segment

LATE = 5  # the version whose row is late


class LateRow:
    """Holds back a row until rows were often looked for that come after it, as by a save that waits for it."""

    def __init__(self, monkeypatch):
        self._record, self._below = Ledger.record_applied, Ledger.below
        self._looked, self._changed, self.came = 0, threading.Condition(), False
        monkeypatch.setattr(Ledger, "record_applied", lambda *args, **options: self._recorded(*args, **options))
        monkeypatch.setattr(Ledger, "below", lambda ledger, version: self._seen(ledger, version))

    def _recorded(self, ledger, gradient, version, *args, **options):
        if version == LATE:
            with self._changed:
                self.came = self._changed.wait_for(lambda: self._looked >= 3, timeout=20)
        return self._record(ledger, gradient, version, *args, **options)

    def _seen(self, ledger, version):
        with self._changed:
            self._looked += version > LATE
            self._changed.notify_all()
        return self._below(ledger, version)


@pytest.mark.parametrize("scheme", [jasgd.schemes.leashed(native=False), jasgd.schemes.hogwild(native=False)])
def test_a_save_waits_for_rows_that_come_after_the_publication(tmp_path, monkeypatch, scheme):
    late = LateRow(monkeypatch)
    stop = Noting(lambda state: state.version > LATE and state.stop("enough"), "on_checkpoint")
    result = jasgd.train(
        mean_square, np.zeros(3, np.float32), optax.sgd(0.05), lambda ticket: np.float32(1), scheme=scheme, workers=2,
        steps=10**7, callbacks=[stop], checkpoint=jasgd.Checkpoints(tmp_path, every_steps=5),
    )  # fmt: skip
    assert (result.message, late.came) == ("enough", True)
    saved = []
    for file in segments_above(tmp_path, 0):
        link = Link(file, hashlib.sha256((tmp_path / file).read_bytes()).hexdigest())
        saved += read_segment(tmp_path, link)[0].applied["version"].tolist()
    assert saved == list(range(result.execution.commits))
