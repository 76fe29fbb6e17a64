"""Moments of a candidate under a law: exact sums under small bounded laws, else sums with a bound of the rest."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flint import arb, fmpq

from theory.analysis.bounds_over import range_of
from theory.analysis.expectation import UnderLaw, expectation
from theory.analysis.means import exact_rational
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.analysis.tails import find_falling, find_inequality
from theory.candidates.candidate import Candidate
from theory.convergence.moments import MOST_EXACT, Moments, summed
from theory.decisions.verdict import Verdict
from theory.formulas.formula import TAU, Formula, multiply, number, subtract
from theory.laws import Law
from theory.numbers.balls import Number, Undecided, ball, greatest

_HEAD = 256  # staleness values at which C is looked at one by one


def of_formula(candidate: Candidate, setting: UnderLaw) -> Moments:
    """Encloses the moments of a step-size function under its setting's law, each None where no enclosure was found.

    Args:
      candidate: with a formula.
      setting: with a law, and single numbers for parameters.

    Returns:
      Enclosures; E[C] and E[τ] exactly where they are known to be rational.

    Example:
      >>> from theory.candidates.loading import loads
      >>> from theory.laws.parsing import parse_law
      >>> found = of_formula(loads("C = 1"), UnderLaw({}, parse_law("poisson:8")))
      >>> found.mean, found.mean_staleness, found.staleness_square_mean.str(6, radius=False)
      (1, 8, '72.0000')
    """
    formula, law = candidate.formula, setting.one_law
    assert formula is not None

    def mean_of(of: Formula) -> Number | None:
        return _known(lambda: expectation(of, setting))

    def weighted(q: Number) -> Number:
        if not isinstance(q, fmpq):  # m₂ falls with q: a lower end gives an upper bound, and the other way round
            q = ball(q)
            return ball(weighted(_rational(q.lower()))).union(ball(weighted(_rational(q.upper()))))
        if q == 1:
            return expectation(multiply(TAU, TAU, formula), setting)
        back = Fraction(int(q.q), int(q.p))
        power = ("power", number(back), TAU)
        scale = number(back / (back - 1))
        # Σ_{i≤τ} q⁻ⁱ = q⁻¹(q^{-τ} - 1)/(q⁻¹ - 1)
        return expectation(multiply(TAU, formula, scale, subtract(power, number(1))), setting)

    factor_values = PointValues(formula, setting)
    return Moments(
        mean=_exact_mean(formula, setting) or mean_of(formula),
        mean_square=mean_of(("power", formula, number(2))),
        staleness_mean=mean_of(multiply(TAU, formula)),
        staleness_square_mean=mean_of(multiply(TAU, TAU, formula)),
        largest_factor=_known(lambda: _supremum(factor_values, setting, candidate.domain[0])),
        nonnegative=_nonnegative(factor_values, setting),
        largest_staleness=law.last,
        mean_staleness=_exact_mean(TAU, setting) or mean_of(TAU),
        weighted=weighted,
        factor=factor_values.certain,
        support=range(law.first, law.first + _HEAD),
    )


def _supremum(factor_values: PointValues, setting: Setting, first: int) -> Number | None:
    """The supremum of C over the integers from ``first`` on, up to the law's last: a head, and a bound of the tail."""
    last = setting.one_law.last
    stop = first + _HEAD if last is None else min(first + _HEAD, last + 1)
    largest = greatest(*(factor_values.certain(tau) for tau in range(first, stop)))
    if last is not None and last < stop:
        return largest
    if find_falling(factor_values.formula, setting, stop, stop) is not None:
        return greatest(largest, factor_values.certain(stop))
    high = range_of(factor_values.formula, setting, stop, last).high
    if high is None or high <= largest:
        return None if high is None else largest
    return ball(high).union(ball(largest))  # what the range allows may not be attained


def _nonnegative(factor_values: PointValues, setting: Setting) -> Verdict:
    """Whether C ≥ 0 where the law has mass: by its range, or by a head and an argument for the tail."""
    law, first = setting.one_law, setting.one_law.first
    looked = [tau for tau in range(first, first + _HEAD) if law.has_mass(tau)]
    try:
        low = range_of(factor_values.formula, setting, first, None).low
        if low is not None and low >= 0:
            return Verdict.PROVED
        if any(factor_values.compare(tau, Fraction(0)) < 0 for tau in looked):
            return Verdict.REFUTED
        if find_inequality(factor_values.formula, setting, first + _HEAD, first + _HEAD, strict=False) is not None:
            return Verdict.PROVED
    except ArithmeticError:
        pass
    return Verdict.UNKNOWN


def _exact_mean(formula: Formula, setting: UnderLaw) -> fmpq | None:
    """The mean, where it is a rational that is known exactly."""
    try:
        return exact_rational(formula, setting)
    except (ArithmeticError, RecursionError):
        return None


def _known(function: Callable[[], Number | None]) -> Number | None:
    try:
        return function()
    except (ArithmeticError, RecursionError):
        return None


def _rational(exact: arb) -> fmpq:
    if not exact.is_finite() or not exact > 0:
        raise Undecided("a discount that is not shown to be > 0")
    mantissa, exponent = (int(part) for part in exact.man_exp())
    return fmpq(mantissa << exponent) if exponent >= 0 else fmpq(mantissa, 1 << -exponent)


def moments_of(candidate: Candidate, law: Law) -> Moments:
    """Moments of a candidate's step-size function under a law.

    Args:
      candidate: whose parameters are single numbers.
      law: of the staleness.

    Returns:
      Enclosures.

    Raises:
      ValueError: where the checker has no words for the function, or a parameter is open.

    Example:
      >>> from theory.candidates.loading import loads
      >>> from theory.laws.parsing import parse_law
      >>> tail = loads("def step_size(tau, F): return 2 - 2*F")
      >>> found = moments_of(tail, parse_law("uniform:0:2"))
      >>> found.mean, found.mean_square, found.largest_factor
      (1, 35/27, 5/3)
    """
    if candidate.is_distortion:
        raise ValueError(f"{candidate.name} is a distortion; the theorems here take a step-size function C of τ")
    candidate = candidate.with_fixed_parameters()
    if candidate.formula is None:
        raise ValueError(f"{candidate.name}: {candidate.untranslatable}")
    setting = UnderLaw(candidate.parameters, law, candidate.cdf)
    if not setting.is_fixed():
        name = next(name for name, known in candidate.parameters.items() if not known.is_point())
        raise ValueError(f"{candidate.name}: {name} must be one number here, as by --set {name}=VALUE")
    factor = PointValues(candidate.formula, setting).certain
    staleness_with_mass = law.support()
    if staleness_with_mass is not None and law.last is not None and len(staleness_with_mass) <= MOST_EXACT:
        masses = {tau: law.mass(tau) for tau in staleness_with_mass}
        try:
            values = [factor(tau) for tau in range(candidate.domain[0], law.last + 1)]
        except ArithmeticError as error:
            if any(not _is_finite(factor, tau) for tau in staleness_with_mass):
                raise ValueError(f"{candidate.name}: C is not finite where the law has mass: {error}") from error
            values = []  # undefined only where no gradient's staleness is, but perhaps a run's first ones
        return summed(masses, factor, values)
    return of_formula(candidate, setting)


def _is_finite(factor: Callable[[int], Number], tau: int) -> bool:
    try:
        return ball(factor(tau)).is_finite()
    except ArithmeticError:
        return False
