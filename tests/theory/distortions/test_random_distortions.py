"""Random distortions: no proof is contradicted by values on a grid, every verdict holds in its certificate."""

import random
from fractions import Fraction

import numpy as np
from flint import fmpq
from support.distortions import NAMES, candidate_of

from theory.certificates.certificate import confirmed
from theory.decisions.decision import decide
from theory.distortions.factors import Factors
from theory.distortions.witnesses import law_of
from theory.numbers.balls import ball

GRID = sorted({Fraction(k, 180) for k in range(181)} | {end + way * Fraction(1, 2**k) for k in (9, 12)
                                                        for end, way in ((0, 1), (1, -1))})  # fmt: skip


def number_of(rng):
    return f"R({rng.randint(1, 6)}, {rng.randint(1, 5)})"


def expression_of(rng, depth):
    if depth == 0:
        return rng.choice(["u", "(1 - u)", number_of(rng), f"u**{rng.randint(2, 4)}", f"(u - {number_of(rng)})"])
    one, other, at = expression_of(rng, depth - 1), expression_of(rng, depth - 1), number_of(rng)
    return rng.choice(
        [
            f"({one} + {other})", f"({one} - {other})", f"({one})*({other})", f"sympy.Min({one}, {other})",
            f"sympy.Max({one}, {other})", f"sympy.Abs({one})", f"sympy.exp({one})", f"sympy.sqrt(u + {at})*({one})",
            f"P(({one}, u <= {at}), ({other}, True))", f"({one})/(1 + u)", f"sympy.sin({one})",
        ]
    )  # fmt: skip


def test_no_proof_is_contradicted_by_values_on_a_grid_and_most_are_decided():
    rng, decided = random.Random(5), 0
    places = np.array([float(share) for share in GRID])
    for _ in range(40):
        expression = expression_of(rng, rng.randint(1, 2))
        if rng.random() < 0.6:  # more that preserve the mean step, or nearly rise
            expression = f"u + ({expression})*u*(1 - u)/{rng.choice([1, 3, 10])}"
        candidate = candidate_of(expression)
        report = decide(candidate, limit_s=5)
        kept = confirmed(report)
        assert [kept[name].verdict for name in NAMES] == [report[name].verdict for name in NAMES]
        factors = Factors(candidate.distortion, {}, law_of([]))
        values = [float(ball(factors.at(fmpq(share.numerator, share.denominator))).mid()) for share in GRID]
        slopes = np.diff(values) / np.diff(places)
        slack = 1e-7 * (1 + np.abs(slopes).max())
        margins = {  # how far all slopes are inside of what the condition allows, at the least
            "positive": slopes.min(),
            "decreasing": -np.diff(slopes).max(),
            "amplitude": 1 - np.abs(slopes - 1).max(),
        }
        for name, margin in margins.items():
            verdict = report[name].verdict.value
            decided += verdict != "UNKNOWN"
            assert verdict != "PROVED" or margin > -slack, (expression, name)
        gain = values[-1] - values[0]
        assert (report["magnitude"].verdict.value == "PROVED") <= (abs(gain - 1) < 1e-12)
    assert decided >= 110  # of 120
