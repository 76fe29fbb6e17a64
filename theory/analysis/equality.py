r"""Deciding whether :math:`E[C] = 1` exactly: only algebra can say yes, and balls can say no.

Closed forms: rationals on finite support; :math:`\tau^k q^\tau` under Poisson, geometric and negative binomial laws by
their generating functions, with finite corrections where the formula has pieces; what is affine in F_mid under every
law, since :math:`E[F_{mid}] = 1/2`; and a function over its own mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq

from theory.analysis.bounds_over import compare, range_of
from theory.analysis.dominance import resolved
from theory.analysis.evaluation import compiled, condition
from theory.analysis.setting import Setting
from theory.formulas import algebra
from theory.formulas.algebra import Quotient, algebraic
from theory.formulas.formula import (
    F,
    Formula,
    factored,
    is_constant,
    mentions,
    multiply,
    nodes,
    number,
    rewrite,
    substitute,
)
from theory.formulas.monomials import FACTORIAL, TAU, Sum, Unsupported
from theory.laws.law import Law
from theory.numbers.balls import NotFinite, Number, Undecided, ball, sign
from theory.numbers.rationals import as_fraction

_MOST_POINTS = 400  # of a finite law, to be summed by algebra
_MOST_BITS = 2**24  # of an exact mean's denominator


def exact_mean(formula: Formula, setting: Setting) -> tuple[str, Quotient]:
    """Computes E[C] exactly, and says by which argument.

    Args:
      formula: the formula.
      setting: law and kind of CDF; without a law the answer holds for every law.

    Returns:
      The name of the argument, and the expectation.

    Raises:
      Unsupported: where it has no closed form that is known here.
      Undecided: where pieces cannot be told apart.
    """
    formula = settled(formula, setting)
    if is_constant(formula):
        return "constant", algebraic(formula)
    normalised = _over_its_mean(formula)
    if normalised is not None:
        return "over its own mean", normalised
    if mentions(formula, "F"):
        try:
            return "affine in F", _affine_mean(formula, setting)
        except Unsupported:
            if setting.law is None or setting.law.last is None:
                raise
    if setting.law is None:
        raise Unsupported("no one value for every law")
    support = setting.law.support()
    if support is not None:
        return "finite sum", _finite_mean(formula, setting, setting.law, support)
    return "generating function", _unbounded_mean(formula, setting)


def _finite_mean(formula: Formula, setting: Setting, law: Law, support: Sequence[int]) -> Quotient:
    """The sum over a bounded law: of rationals where all values are, else of what the algebra can write."""
    try:
        value_at = compiled(formula, setting)
        return algebra.from_fmpq(_total([_rational(law.mass(tau)) * _rational(value_at(tau)) for tau in support]))
    except (Undecided, Unsupported):
        pass
    if len(support) > _MOST_POINTS:
        raise Unsupported("many points, and a value that is not rational")
    total = algebra.rational(0)
    for tau in support:
        total = total + law.exact_mass(tau) * algebraic(at_staleness(formula, tau, setting))
    return total


def _rational(value: Number) -> fmpq:
    if not isinstance(value, fmpq):
        raise Unsupported("a value that is not rational")
    return value


def _total(terms: list[fmpq]) -> fmpq:
    """The sum of rationals, two by two, so that long denominators meet late."""
    while len(terms) > 1:
        terms = [sum(terms[place : place + 2], fmpq(0)) for place in range(0, len(terms), 2)]
        if terms[0].q.bit_length() > _MOST_BITS:
            raise Unsupported("a rational of too many digits")
    return terms[0]


def proof_of_one(formula: Formula, setting: Setting) -> str | None:
    """Names the argument by which E[C] = 1 exactly; None where that is not proved.

    A generating function is only that where its sum converges, and a mean can only be divided by where it is finite
    and not 0. So under a law the sum itself has to be enclosed as well, and to contain 1; but not where C is one
    number or affine in F, as that is bounded.
    """
    support = None if setting.law is None else setting.law.support()
    long = support is not None and len(support) > _MOST_POINTS and not _needs_no_sum(formula, setting)
    if long and not ball(setting.mean(formula)).contains(1):  # known sooner than the exact sum
        return None
    argument, value = exact_mean(formula, setting)
    if not is_one(value):
        return None
    means = [node[1] for node in nodes(formula) if node[0] == "mean"]
    if setting.law is None:
        known = [range_of(mean, setting, 0, None) for mean in means]
        return argument if all(one.is_positive() and one.is_bounded() for one in known) else None
    if argument in ("constant", "affine in F") and not means:
        return argument
    if not setting.is_fixed():
        return None
    if any(sign(setting.mean(mean)) == 0 for mean in means):
        return None
    return argument if ball(setting.mean(formula)).contains(1) else None


def _needs_no_sum(formula: Formula, setting: Setting) -> bool:
    """Whether a formula is one number or affine in F_mid, and has no mean."""
    formula = settled(formula, setting)
    if mentions(formula, "mean"):
        return False
    return is_constant(formula) or (setting.cdf == "mid" and mentions(formula, "F") and affine(formula) is not None)


def is_one(value: Quotient) -> bool:
    """Whether a value of the algebra is 1, its monomials cancelling."""
    return (value - algebra.rational(1)).is_zero()


def settled(formula: Formula, setting: Setting) -> Formula:
    """The formula with the cases decided whose conditions do not depend on τ."""

    def change(node: Formula) -> Formula | None:
        if node[0] == "where" and is_constant(node[1]):
            holds = _constant_condition(node[1], setting)
            if holds is None:
                return None
            return settled(node[2] if holds else node[3], setting)
        if node[0] == "mean" and is_constant(node[1]):
            return settled(node[1], setting)
        return node if node[0] == "mean" else None

    return rewrite(formula, change)


def _constant_condition(formula: Formula, setting: Setting) -> bool | None:
    try:
        return condition(formula, setting)(0)
    except Undecided:
        try:
            return compare(formula, lambda part: range_of(part, setting, 0, None))
        except (Undecided, NotFinite):
            return None


def at_staleness(formula: Formula, tau: int, setting: Setting) -> Formula:
    """The formula at one staleness, with its cases, minima and roundings decided there."""

    def change(node: Formula) -> Formula | None:
        name, *parts = node
        if name == "mean":
            return node
        if name == "F":
            return _share(tau, setting)
        if name == "where":
            return rewrite(parts[1] if condition(parts[0], setting)(tau) else parts[2], change)
        if name in ("min", "max"):
            best, *others = (rewrite(part, change) for part in parts)
            for other in others:
                less = condition(("at_most", best, other), setting)(tau)
                best = best if less == (name == "min") else other
            return best
        if name == "abs":
            inner = rewrite(parts[0], change)
            return inner if condition(("at_most", number(0), inner), setting)(tau) else multiply(number(-1), inner)
        return None

    return rewrite(substitute(formula, number(tau)), change)


def _share(tau: int, setting: Setting) -> Formula | None:
    """F at a staleness as a number, where the law has it exactly."""
    try:
        share = setting.distribution(tau)
    except Undecided:
        return None
    return ("number", as_fraction(share)) if isinstance(share, fmpq) else None


def affine(formula: Formula) -> tuple[Quotient, Quotient] | None:
    """The constants α and β with formula = α + βF; None where it is not shown to be so."""
    stand_in = ("parameter", "F(τ)")  # the name of no parameter
    try:
        quotient = algebraic(rewrite(formula, lambda node: stand_in if node == F else None))
    except Unsupported:
        return None
    parts: list[Sum] = [{}, {}]
    for monomial, coefficient in quotient.above.items():
        exponents = dict(monomial)
        to = exponents.pop(stand_in, Fraction(0))
        if to not in (0, 1) or any(_moves(of, stand_in) for of in exponents):
            return None
        parts[int(to)][tuple(sorted(exponents.items(), key=repr))] = coefficient
    if any(_moves(of, stand_in) for monomial in quotient.below for of, _ in monomial):
        return None
    return Quotient(parts[0], quotient.below), Quotient(parts[1], quotient.below)


def _moves(generator: tuple, stand_in: tuple) -> bool:
    """Whether a generator depends on τ, or on what stands for F; the τ of a mean is the law's own."""
    if generator[0] == "mean":
        return False
    return bool({TAU, FACTORIAL, stand_in} & _leaves(generator))


def _leaves(part: object) -> set[object]:
    if not isinstance(part, tuple):
        return set()
    return {part}.union(*(_leaves(inner) for inner in part)) if part else set()


def _affine_mean(formula: Formula, setting: Setting) -> Quotient:
    line = affine(formula)
    if line is None:
        raise Unsupported("not affine in F")
    if setting.cdf != "mid":
        raise Unsupported("E[F] is 1/2 for the mid-distribution function alone")
    return line[0] + line[1] * algebra.rational(Fraction(1, 2))


def _over_its_mean(formula: Formula) -> Quotient | None:
    """The mean of a function over its own mean.

    E[κM] = (κ/δ) E[δM], for constants κ and δ, where the mean of δM occurs among the κ.
    """
    if formula[0] != "product":
        return None
    fixed, moving = factored(formula)
    for factor in fixed:
        if factor[0] == "power" and factor[1][0] == "mean":
            inner_fixed, inner_moving = factored(factor[1][1])
            if inner_moving == moving:
                mean = algebra.generator(("mean", factor[1][1]))
                return algebraic(multiply(*fixed)) * mean * algebraic(multiply(*inner_fixed)).inverse()
    return None


def _unbounded_mean(formula: Formula, setting: Setting) -> Quotient:
    for first in (1, 2, 4, 8, 16, 32, 64, 128):  # dominant terms decide from 1 on
        try:
            tail = resolved(formula, setting, first)
            expected = _tail_mean(algebraic(tail), setting)
        except Undecided:
            continue
        for tau in range(first):
            exact, instead = algebraic(at_staleness(formula, tau, setting)), algebraic(at_staleness(tail, tau, setting))
            expected = expected + setting.one_law.exact_mass(tau) * (exact - instead)
        return expected
    raise Unsupported("pieces that reach far out")


def _tail_mean(quotient: Quotient, setting: Setting) -> Quotient:
    if any(_moves(of, ("nothing",)) for monomial in quotient.below for of, _ in monomial):
        raise Unsupported("a quotient by what depends on τ")
    total = algebra.rational(0)
    for monomial, coefficient in quotient.above.items():
        constants, power, rate = [], 0, {}
        for of, to in monomial:
            if of == TAU:
                if to.denominator != 1 or to < 0 or to > 60:
                    raise Unsupported("such a power of τ")
                power = int(to)
            elif of[0] == "exp" and TAU in dict(of[1]):
                inner = dict(of[1])
                if inner.pop(TAU) != 1:
                    raise Unsupported("an exponential of a power of τ")
                rate[tuple(sorted(inner.items(), key=repr))] = to
            elif _moves(of, ("nothing",)):
                raise Unsupported(f"{of[0]} under an expectation")
            else:
                constants.append((of, to))
        base = algebra.exponential(rate)
        term = algebra.rational(0)
        for falling, times in enumerate(_stirling(power)):
            if times:
                term = term + algebra.rational(times) * setting.one_law.exact_moment(falling, base)
        front = Quotient({tuple(constants): coefficient}) if constants else algebra.rational(coefficient)
        total = total + front * term
    return total * Quotient(quotient.below).inverse()


def _stirling(power: int) -> list[int]:
    r"""Stirling numbers S(k, j) for j = 0…k: :math:`\tau^k = \sum_j S(k,j)\,\tau(\tau-1)\cdots(\tau-j+1)`."""
    row = [1]
    for _ in range(power):
        row = [(j * row[j] if j < len(row) else 0) + (row[j - 1] if j else 0) for j in range(len(row) + 1)]
    return row
