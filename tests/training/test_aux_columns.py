"""The scalars beside the losses while workers note on: none is lost between two places."""

import jax.numpy as jnp
import numpy as np

from jasgd.training.aux_columns import TOGETHER, AuxColumns


class Moving(list):
    """What was put together; where it is looked through, its worker puts together what has waited."""

    def __init__(self, move):
        super().__init__()
        self._move = [move]

    def __iter__(self):
        found = list(super().__iter__())
        if self._move:
            self._move.pop()()
        return iter(found)


def test_what_a_worker_puts_together_meanwhile_is_found():
    for ask in ("of", "take"):
        columns = AuxColumns(1)
        for ticket in range(TOGETHER - 1):
            columns.note(0, ticket, jnp.float32(ticket))
        columns._noted[0] = Moving(lambda to=columns: to.note(0, TOGETHER - 1, jnp.float32(TOGETHER - 1)))
        found = getattr(columns, ask)(np.arange(TOGETHER - 1))["aux"]
        np.testing.assert_array_equal(found, np.arange(TOGETHER - 1), err_msg=ask)
    later = columns.take(np.array([TOGETHER - 1]))["aux"]
    assert later.tolist() == [TOGETHER - 1]
    assert columns._left == []
