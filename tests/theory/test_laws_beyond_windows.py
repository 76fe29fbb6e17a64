"""Beyond a law's window F is still enclosed, and a finer window tells more of it."""

import pytest
from flint import arb

from theory.laws.parsing import parse_law
from theory.numbers.balls import ball, precision

SPECS = ["poisson:8", "geometric:1/8", "negative_binomial:3:1/4", "cmp:8:1/2", "mixture:1/3*poisson:8+2/3*constant:2"]


@pytest.mark.parametrize("kind", ["mid", "strict", "inclusive"])
@pytest.mark.parametrize("spec", SPECS)
def test_f_beyond_the_window_is_that_of_a_finer_window(spec, kind):
    with precision(256):
        law, finer = parse_law(spec), parse_law(spec).finer(400)
        _, stop = law.window()
        for tau in (stop - 1, stop, stop + 1, stop + 2, stop + 40):
            coarse, fine = (ball(one.distribution(tau, kind)) for one in (law, finer))
            assert coarse.contains(fine)
            assert fine.rad() < arb(2) ** -200


@pytest.mark.parametrize("spec", SPECS)
def test_a_finer_window_leaves_less_outside(spec):
    with precision(1024):
        for bits in (100, 900):
            law = parse_law(spec).finer(bits)
            start, stop = law.window()
            total = sum((law.mass(tau) for tau in range(start, stop + 1)), arb(0))
            assert abs(1 - total) < arb(2) ** -(bits - 8)
