"""The precision of balls: set inside a context, and set back whatever ends it."""

import gc

import flint
import pytest

from theory.numbers.balls import precision


def test_a_context_sets_the_bits_back_after_an_error():
    before = flint.ctx.prec

    def failing():
        with precision(300):
            assert flint.ctx.prec == 300
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert flint.ctx.prec == before


def test_a_context_whose_entry_was_interrupted_changes_nothing_when_it_is_collected():
    with precision(96):
        interrupted = precision(256)  # a time limit may end its entry once the bits are set, and then nothing leaves it
        interrupted.__enter__()
    before = flint.ctx.prec
    del interrupted
    gc.collect()
    assert flint.ctx.prec == before != 96
