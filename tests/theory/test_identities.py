"""The identities hold, and the checks would notice if they did not."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import identities
from theory.identities import IDENTITIES, LawWithFactors, conservation, is_proved, random_law


@pytest.mark.parametrize("support", [2, 3, 4, 5])
@pytest.mark.parametrize("name", IDENTITIES)
def test_an_identity_is_proved_for_all_laws_on_so_many_points(name, support):
    assert is_proved(name, support)


@pytest.mark.parametrize("name", IDENTITIES)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_an_identity_holds_exactly_on_rational_laws(name, seed, support):
    assert not any(IDENTITIES[name](random_law(seed, support)))


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_law_that_does_not_sum_to_one_is_noticed(name):
    law = random_law(1, 5)
    off = LawWithFactors(law.staleness, [2 * p for p in law.masses], Fraction(1), law.factors)
    assert any(IDENTITIES[name](off))


def test_the_strict_cdf_in_place_of_the_mid_one_is_noticed(monkeypatch):
    tail = LawWithFactors.tail
    monkeypatch.setattr(LawWithFactors, "tail", lambda self, kind: tail(self, "strict" if kind == "mid" else kind))
    assert not is_proved("mean", 3)
    assert not is_proved("moments", 3)


def test_falling_factors_with_mean_one_weigh_staleness_down():
    draw = random.Random(0)
    for seed in range(200):
        law = random_law(seed, 1 + seed % 20)
        falling = sorted((Fraction(draw.randint(0, 1000), 100) for _ in law.masses), reverse=True)
        mean = law.expect(falling)
        if mean:
            for power in (1, 2, 3):
                staleness = [Fraction(t) ** power for t in law.staleness]
                weighed = law.expect([t * c / mean for t, c in zip(staleness, falling, strict=True)])
                assert weighed <= law.expect(staleness)


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_staleness_is_conserved(workers, seed):
    assert set(conservation(workers, 100, seed)) == {0}


def test_the_command_prints_a_table(capsys):
    assert identities.main() == 0
    assert "proved for 2, 3, 4, 5" in " ".join(capsys.readouterr().out.replace("│", " ").split())
