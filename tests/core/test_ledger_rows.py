"""The ledger's rows, which several threads append to: none is lost, and none is read before it is written."""

import numpy as np

from jasgd.core.ledger import _Rows


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
