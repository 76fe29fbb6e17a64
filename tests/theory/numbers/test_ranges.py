"""Ranges of powers: exact where they are short, else rounded outward, so that no number fills the memory."""

from fractions import Fraction

import pytest
from flint import fmpq

from theory.numbers import range_functions, ranges
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq


@pytest.mark.parametrize(
    "base", [Range(fmpq(-3, 2), fmpq(5, 4)), Range(fmpq(1, 3), fmpq(2, 3)), Range(fmpq(-3), fmpq(-2))]
)
@pytest.mark.parametrize("exponent", [2, 3, 17, 6_000, 20_001, 40_000])
def test_the_range_of_a_power_holds_the_powers(base, exponent):
    found = range_functions.power(base, ranges.point(exponent))
    for value in (base.low, (base.low + base.high) / 2, base.high):
        power = as_fmpq(Fraction(int(value.p), int(value.q)) ** exponent)
        assert found.low is None or found.low <= power
        assert found.high is None or power <= found.high
    assert found.is_zero_free() == base.is_zero_free()  # what is tiny is not 0
    assert all(end is None or int(end.p).bit_length() <= 20_000 for end in (found.low, found.high))


@pytest.mark.parametrize("exponent", [10**9, 10**18, -(10**18)])
def test_a_power_of_any_height_takes_no_longer(exponent):
    found = range_functions.power(Range(fmpq(2), fmpq(3), False, True), ranges.point(exponent))
    assert found.is_positive()
    assert range_functions.power(ranges.point(1), ranges.point(exponent)) == ranges.point(1)
