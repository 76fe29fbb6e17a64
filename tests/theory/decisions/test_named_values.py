"""Values of a parameter named to people: no interval says more than was shown, no value lies beyond an end."""

from fractions import Fraction

import pytest

from theory.candidates.loading import loads
from theory.decisions.intervals import Interval, beside
from theory.decisions.values_of_a_parameter import Values, values_for_which

HEAD = "from sympy import *\nfrom theory import tau\nb = Symbol('b', real=True)\n"


@pytest.mark.parametrize("low_open", [True, False])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (Fraction(0), Fraction(32767, 16384)),
        (Fraction(16385, 16384), Fraction(2)),
        (Fraction(-32769, 16384), Fraction(-1, 16384)),
        (Fraction(10**9 + 1, 10**9), Fraction(10**9 + 3, 10**9)),
        (Fraction(1, 10**400), Fraction(10**400 + 1, 7)),
    ],
)
def test_an_interval_is_written_with_ends_inside_it(low, high, low_open):
    written = str(Interval(low, high, low_open, False))
    first, last = (Fraction(end) for end in written[1:-1].split(", "))
    assert low <= first < last <= high


def test_a_value_is_written_on_its_own_side_of_an_end():
    for step in (1, -1):
        value = Fraction(3, 2) + Fraction(step, 2**14)
        assert (Fraction(beside(value, [Fraction(3, 2)])) - Fraction(3, 2)) * step > 0


def test_no_sentence_names_a_value_both_ways():
    values = values_for_which(
        loads(HEAD + "C = floor(b) + 1 / (1 + tau)\nparameters = {'b': '[0, 2]'}"), "b", limit_s=5
    )
    sentence = next(one.sentence for one in values if one.condition == "amplitude")
    assert sentence == "PROVED for [0, 1.999]; REFUTED at 2"  # for b = 2 it is 3 at τ = 0


def test_the_values_between_which_a_mean_passes_one_enclose_the_place():
    low, high = Fraction(37895, 16384), Fraction(37896, 16384)
    sentence = Values("magnitude", None, (), (), (), ((low, high),)).sentence
    first, last = (Fraction(word) for word in sentence.split() if word[0] == "2")
    assert first <= low < high <= last
