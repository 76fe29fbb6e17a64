"""The ledger's rows, which several threads append to: none is lost, and none is read before it is written.

The kind: a reader that copies data before the mark which says that they are written, and a number that two threads
bring up to date, of which the slower one wins.
"""

import sys
import threading

import numpy as np
import pytest

from jasgd.core.ledger import CHUNK, AppliedRow, Ledger, _Rows


def test_a_row_is_not_lost_where_writers_overtake_each_other():
    rows = _Rows(np.dtype([("a", np.float64)]))
    overtaking = type("", (), {"__float__": lambda self: rows.append((2.0,)) or 1.0})()
    rows.append((overtaking,))  # draws number 0; number 1 is drawn and written before 0 is
    assert sorted(rows.all()["a"]) == [1.0, 2.0]


def test_a_row_that_is_drawn_and_not_yet_written_is_not_read():
    rows, seen = _Rows(np.dtype([("a", np.float64)])), []

    def look():
        rows.append((3.0,))
        seen.append((rows.all()["a"].tolist(), rows.last(10)["a"].tolist()))
        return 1.0

    rows.append((type("", (), {"__float__": lambda self: look()})(),))
    assert seen == [([3.0], [3.0])]
    assert rows.all()["a"].tolist() == [1.0, 3.0]


def test_rows_go_on_over_chunks():
    rows = _Rows(np.dtype([("a", np.int64)]))
    for i in range(40_000):
        rows.append((i,))
    assert rows.all()["a"].tolist() == list(range(40_000))
    assert rows.last(20_000)["a"].tolist() == list(range(20_000, 40_000))


def test_a_row_that_is_written_late_does_not_hide_how_far_the_run_is():
    """Else a save or an evaluation that is due by commits is not made, where the others wait meanwhile."""
    ledger = Ledger(3)
    assert ledger.newest_version == 0
    for version in [*range(10), *range(12, 30), 10, 11]:  # the last two by workers that were overtaken
        ledger.record_row(AppliedRow(0, version, version, version, 0, 1.0, 1.0, 1))
    assert ledger.newest_version == 30
    later = Ledger(3, version=30)
    later.go_on(1.0, ledger.recent(100), (30, 0))
    assert later.newest_version == 30


class Chunk(np.ndarray):
    """Rows of which a reader may copy some, in any way of NumPy's; then, at once, another row is written."""

    then = staticmethod(lambda: None)

    def __array_function__(self, function, types, arguments, options):
        plain = [[part.view(np.ndarray) for part in arguments[0]], *arguments[1:]]
        copied = function(*plain, **options)
        Chunk.then()
        return copied

    def __getitem__(self, key):
        copied = np.array(self.view(np.ndarray)[key])
        Chunk.then()
        return copied


@pytest.mark.parametrize("read", [lambda rows: rows.all(), lambda rows: rows.last(10)])
def test_a_row_written_while_a_reader_copies_is_whole_or_not_there(read, monkeypatch):
    rows = _Rows(np.dtype([("a", np.float64)]))
    rows.append((1.0,))
    written = rows._chunks[0][0]
    rows._chunks[0] = (written.view(Chunk), *rows._chunks[0][1:])
    left = [4.0, 3.0, 2.0]

    def another():
        if left:
            number = next(rows._numbers)
            value = left.pop()
            written[number] = (value,)
            rows._chunks[0][1][number] = True

    monkeypatch.setattr(Chunk, "then", staticmethod(another))
    seen = read(rows)["a"].tolist()
    assert len(left) < 3  # one was written meanwhile
    assert 1.0 in seen
    assert 0.0 not in seen


def test_a_writer_that_was_overtaken_takes_no_rows_from_readers():
    rows = _Rows(np.dtype([("a", np.float64)]))
    overtaking = type("", (), {"__float__": lambda self: rows.append((2.0,)) or 1.0})()
    rows.append((overtaking,))
    assert sorted(rows.last(10)["a"]) == [1.0, 2.0]
    assert len(rows) == 2


def test_the_last_rows_lie_in_two_chunks_and_a_chunk_that_nobody_has_written_to_yet():
    rows = _Rows(np.dtype([("a", np.int64)]))
    for i in range(CHUNK + 3):
        rows.append((i,))
    rows._chunks[2] = (np.zeros(CHUNK, rows._dtype), bytearray(CHUNK))
    assert rows.last(5)["a"].tolist() == list(range(CHUNK - 2, CHUNK + 3))
    assert len(rows) == CHUNK + 3
    assert len(_Rows(rows._dtype).last(5)) == len(_Rows(rows._dtype).all()) == 0


def test_readers_beside_writers_see_whole_rows_alone():
    rows = _Rows(np.dtype([("a", np.int64), ("b", np.int64)]))

    def write():
        for i in range(1, 4000):
            rows.append((i, i))

    writers = [threading.Thread(target=write) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in writers:
            thread.start()
        while any(thread.is_alive() for thread in writers):
            seen = rows.last(500)
            assert (seen["a"] == seen["b"]).all()
            assert (seen["a"] > 0).all()
    finally:
        sys.setswitchinterval(before)
        for thread in writers:
            thread.join()
    assert len(rows) == len(rows.all()) == 3 * 3999
