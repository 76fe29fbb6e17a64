"""What is iterated over, where a run goes on with it: no item is given twice, and none is kept that is not needed."""

import numpy as np
import pytest

from jasgd.inputs.iterables import EpochsTaken, Pulled


def test_of_the_items_before_only_those_that_are_still_to_come_are_kept():
    pulled = Pulled(iter(np.arange(100)))
    pulled.go_on(pending=[3, 70], first=90)
    for ticket in (0, 2, 4, 69, 71, 89):
        with pytest.raises(ValueError, match=rf"ticket {ticket} was already taken"):
            pulled(ticket)
    assert [int(pulled(ticket)) for ticket in (70, 90, 3, 91)] == [70, 90, 3, 91]


def test_items_beyond_the_last_epoch_are_no_error_until_they_are_asked_for():
    pulled = Pulled([np.float32(1)] * 4, epochs=2)
    pulled.go_on(pending=[6], first=11)
    assert pulled(6) == 1
    with pytest.raises(EpochsTaken):
        pulled(8)
