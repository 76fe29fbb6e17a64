r"""What a formula, and what its logarithm, changes by from τ to τ + 1, expanded such that what cancels is exactly 0.

The step of log Γ(w) is a sum of logarithms where w moves by a whole number, :math:`\log w + \dots + \log(w + d - 1)`;
that of a product :math:`\Delta(fg) = \Delta f\,(g + \Delta g) + f\,\Delta g`, and a constant is taken out before.
"""

from __future__ import annotations

from flint import fmpq

from theory.analysis.expansions import series
from theory.analysis.expansions.expansion import Expansion, constant
from theory.analysis.expansions.of_formulas import expansion, log_gamma, logarithm, value_of
from theory.analysis.expansions.series import Scale
from theory.analysis.setting import Setting
from theory.formulas.formula import ONE, Formula, factored, is_constant, multiply, substitute
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Undecided, power
from theory.numbers.rationals import as_fmpq

_MOST_FACTORS = 8  # of a quotient of factorials


def step(formula: Formula, setting: Setting, scale: Scale) -> Expansion:
    r"""The expansion of :math:`f(\tau+1) - f(\tau)`."""
    name, *parts = formula
    if is_constant(formula):
        return Expansion(scale, {})
    if name == "tau":
        return constant(fmpq(1), scale)
    if name == "sum":
        total = Expansion(scale, {})
        for part in parts:
            total = total + step(part, setting, scale)
        return total
    if name == "product":
        fixed, moving = factored(formula)
        if fixed:
            return step(multiply(*moving), setting, scale).scaled(value_of(multiply(*fixed), setting, scale))
        first, rest = moving[0], multiply(*moving[1:])
        moved, other = step(first, setting, scale), step(rest, setting, scale)
        return moved * (expansion(rest, setting, scale) + other) + expansion(first, setting, scale) * other
    if name == "log":
        return log_step(parts[0], setting, scale)
    if name == "harmonic":
        by = step(parts[0], setting, scale)
        if by.exact() == 1:  # H(z + 1) = H(z) + 1/(z + 1)
            return (expansion(parts[0], setting, scale) + constant(fmpq(1), scale)).raised(fmpq(-1))
    before = expansion(formula, setting, scale)
    try:
        return before * (ratio(formula, setting, scale) - constant(fmpq(1), scale))
    except (Undecided, Unsupported):  # of what is no product, or has zeros
        return expansion(_next(formula), setting, scale) - before


def log_step(formula: Formula, setting: Setting, scale: Scale) -> Expansion:
    r"""The expansion of :math:`\log|f(\tau+1)| - \log|f(\tau)|`, of a formula that keeps its sign."""
    name, *parts = formula
    if is_constant(formula):
        return Expansion(scale, {})
    if name == "product":
        total = Expansion(scale, {})
        for part in parts:
            total = total + log_step(part, setting, scale)
        return total
    if name == "power":
        base, exponent = parts
        moved = log_step(base, setting, scale)
        if exponent[0] == "number":
            return moved.scaled(as_fmpq(exponent[1]))
        by, log = step(exponent, setting, scale), logarithm(base, setting, scale)[1]
        return by * (log + moved) + expansion(exponent, setting, scale) * moved
    if name == "exp":
        return step(parts[0], setting, scale)
    if name == "factorial":
        return _log_gamma_step(parts[0], setting, scale)
    # The first coefficient is the limit of f/x^v, and of f(τ + 1)/x^v just as well: its logarithm cancels.
    before, after = (expansion(one, setting, scale).single() for one in (formula, _next(formula)))
    logs = [series.log_one_plus(series.leading(one, scale)[2], scale) for one in (after, before)]
    return Expansion(scale, {0: logs[0]}) - Expansion(scale, {0: logs[1]})


def ratio(formula: Formula, setting: Setting, scale: Scale) -> Expansion:
    r"""The expansion of :math:`f(\tau+1)/f(\tau)`, of a formula that keeps its sign; exact of rational factors."""
    name, *parts = formula
    one = constant(fmpq(1), scale)
    if is_constant(formula):
        return one
    if name == "product":
        total = one
        for part in parts:
            total = total * ratio(part, setting, scale)
        return total
    if name == "power" and parts[1][0] == "number":
        return ratio(parts[0], setting, scale).raised(as_fmpq(parts[1][1]))
    if name == "power" and is_constant(parts[0]):
        by = step(parts[1], setting, scale).exact()
        if by is not None:
            return constant(power(value_of(parts[0], setting, scale), by), scale)
    if name == "factorial":
        factors = _gamma_factors(parts[0], setting, scale)
        if factors is not None:
            total = one
            for factor, to in factors:
                total = total * factor.raised(fmpq(to))
            return total
    if name in ("power", "factorial", "exp"):
        return log_step(formula, setting, scale).exp()
    before, after = (expansion(one, setting, scale).single() for one in (formula, _next(formula)))
    below, above = (series.leading(one, scale)[2] for one in (before, after))  # the same first coefficient, as above
    quotient = series.multiply(
        series.add(series.constant(fmpq(1)), above, scale), series.one_plus_to(below, fmpq(-1), scale), scale
    )
    return Expansion(scale, {0: quotient})


def _gamma_factors(argument: Formula, setting: Setting, scale: Scale) -> list[tuple[Expansion, int]] | None:
    """What Γ(z + 1) is multiplied with, or divided by, where z moves by a whole number: factors and ±1."""
    z, whole = expansion(argument, setting, scale), step(argument, setting, scale).exact()
    if whole is None or whole.q != 1 or abs(whole) > _MOST_FACTORS:
        return None
    count = int(whole.p)
    above = [(z + constant(fmpq(k), scale), 1) for k in range(1, count + 1)]
    return above + [(z - constant(fmpq(k), scale), -1) for k in range(-count)]


def _log_gamma_step(argument: Formula, setting: Setting, scale: Scale) -> Expansion:
    """The step of log Γ(z + 1)."""
    factors = _gamma_factors(argument, setting, scale)
    if factors is not None:
        total = Expansion(scale, {})
        for factor, to in factors:
            total = total + factor.log().scaled(fmpq(to))
        return total
    z, by, one = expansion(argument, setting, scale), step(argument, setting, scale), constant(fmpq(1), scale)
    return log_gamma(z + by + one, with_constant=False) - log_gamma(z + one, with_constant=False)


def _next(formula: Formula) -> Formula:
    return substitute(formula, ("sum", ONE, ("tau",)))
