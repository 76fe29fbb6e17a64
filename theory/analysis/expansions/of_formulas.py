r"""Expansions of formulas for large τ, and of the logarithms of products, powers and factorials.

Factorials are expanded by Stirling's series and harmonic numbers by that of the digamma function: for w > 0

.. math:: \log\Gamma(w) = (w-\tfrac12)\log w - w + \tfrac12\log 2\pi
          + \sum_{k=1}^{K}\frac{B_{2k}}{2k(2k-1)w^{2k-1}} + R, \qquad |R| \le \frac{|B_{2K+2}|}{(2K+2)(2K+1)w^{2K+1}},

.. math:: H(w-1) - \gamma = \psi(w) = \log w - \frac1{2w} - \sum_{k=1}^{K}\frac{B_{2k}}{2k\,w^{2k}} + R,
          \qquad |R| \le \frac{|B_{2K+2}|}{(2K+2)w^{2K+2}}

(NIST Digital Library of Mathematical Functions, 5.11(ii): for real arguments the error is less than the first term left
out).
"""

from __future__ import annotations

import math

from flint import arb, fmpq

from theory.analysis.bounds_over import range_of
from theory.analysis.expansions.expansion import Expansion, constant, staleness
from theory.analysis.expansions.series import Scale
from theory.analysis.setting import Setting
from theory.formulas.formula import ONE, Formula, add, is_constant, nodes
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Number, Undecided, ball, sign
from theory.numbers.rationals import as_fmpq

_LARGEST_ROOT = 6  # of 1/τ that is expanded in
_BERNOULLI = [fmpq(p, q) for p, q in ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6))]  # B₂, B₄, …


def scale_of(formula: Formula, first: int) -> Scale:
    """The scale to expand a formula in: the root of 1/τ by the denominators of its exponents."""
    if first < 2:
        raise Undecided("expansions are meant from τ = 2 on")
    root = 1
    for node in nodes(formula):
        inner = (node[2],) if node[0] == "power" else nodes(node[1]) if node[0] == "factorial" else ()
        for part in inner:
            if part[0] == "number":
                root = math.lcm(root, part[1].denominator)
    if root > _LARGEST_ROOT:
        raise Unsupported("a root that is not expanded in")
    return Scale(first, root)


def expansion(formula: Formula, setting: Setting, scale: Scale) -> Expansion:
    """The expansion of a formula whose cases are decided.

    Args:
      formula: without cases, minima, absolute values and roundings.
      setting: what it is decided in.
      scale: where, and in which powers.

    Returns:
      The expansion.

    Raises:
      Unsupported: where it has none that is known here.
      Undecided: where the expansion would have to begin further out.
    """
    name, *parts = formula
    if is_constant(formula):
        return constant(value_of(formula, setting, scale), scale)
    if name == "tau":
        return staleness(scale)
    if name == "sum":
        total = Expansion(scale, {})
        for part in parts:
            total = total + expansion(part, setting, scale)
        return total
    if name == "product":
        return _product(formula, setting, scale)
    if name == "power" and parts[1][0] == "number":
        return expansion(parts[0], setting, scale).raised(as_fmpq(parts[1][1]))
    if name == "exp":
        return expansion(parts[0], setting, scale).exp()
    if name == "log":
        return logarithm(parts[0], setting, scale)[1]
    if name in ("power", "factorial"):
        of, to = logarithm(formula, setting, scale)
        return to.exp().scaled(fmpq(of))
    if name == "harmonic":
        return _harmonic(expansion(parts[0], setting, scale))
    raise Unsupported(f"no expansion of {name}")


def _product(formula: Formula, setting: Setting, scale: Scale) -> Expansion:
    """The product of the factors' expansions, or by logarithms where one grows too fast to have its own."""
    total = constant(fmpq(1), scale)
    try:
        for part in formula[1:]:
            total = total * expansion(part, setting, scale)
        return total
    except Unsupported:
        of, log = logarithm(formula, setting, scale)
        return log.exp().scaled(fmpq(of))


def value_of(formula: Formula, setting: Setting, scale: Scale) -> Number:
    """A constant as a number."""
    bounds = range_of(formula, setting, scale.first, None)
    return bounds.ball() if bounds.exact is None else bounds.exact


def logarithm(formula: Formula, setting: Setting, scale: Scale) -> tuple[int, Expansion]:
    """The sign that a formula keeps from the scale's first τ on, and the expansion of the logarithm of its size."""
    name, *parts = formula
    if name == "product" and not is_constant(formula):
        of, total = 1, Expansion(scale, {})
        for part in parts:
            one, log = logarithm(part, setting, scale)
            of, total = of * one, total + log
        return of, total
    if name == "power" and not is_constant(formula):
        of, log = logarithm(parts[0], setting, scale)
        if parts[1][0] == "number" and parts[1][1].denominator == 1:
            return of if parts[1][1].numerator % 2 else 1, log.scaled(as_fmpq(parts[1][1]))
        if of < 0:
            raise Unsupported("a power of what is negative")
        return 1, log * expansion(parts[1], setting, scale)
    if name == "exp":
        return 1, expansion(parts[0], setting, scale)
    if name == "factorial" and not is_constant(formula):
        return 1, log_gamma(expansion(parts[0], setting, scale) + constant(fmpq(1), scale))
    known = expansion(formula, setting, scale)
    of = known.sign()
    if of == 0:
        raise Unsupported("the logarithm of 0")
    return of, known.scaled(fmpq(of)).log()


def log_gamma(w: Expansion, *, with_constant: bool = True) -> Expansion:
    """The logarithm of Γ(w) for a w that grows without bound; or without ½ log 2π, which cancels in a step."""
    scale, log, back = w.scale, _grown_log(w), w.raised(fmpq(-1))
    total = (w - constant(fmpq(1, 2), scale)) * log - w
    if with_constant:
        total = total + constant((2 * arb.pi()).log() / 2, scale)
    odd, square = back, back * back
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        term = bernoulli / (2 * k * (2 * k - 1))
        last = k == len(_BERNOULLI)
        total = total + odd.scaled(arb(0, abs(ball(term)).upper()) if last else term)
        odd = odd * square
    return total


def _harmonic(argument: Expansion) -> Expansion:
    """H(z) for a z that grows without bound."""
    scale = argument.scale
    w = argument + constant(fmpq(1), scale)
    back = w.raised(fmpq(-1))
    total = _grown_log(w) + constant(arb.const_euler(), scale) - back.scaled(fmpq(1, 2))
    square = back * back
    even = square
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        term = bernoulli / (2 * k)
        last = k == len(_BERNOULLI)
        total = total - even.scaled(arb(0, abs(ball(term)).upper()) if last else term)
        even = even * square
    return total


def _grown_log(w: Expansion) -> Expansion:
    """The logarithm of what is shown to be positive, and to grow without bound."""
    if w.single().order >= 0:
        raise Unsupported("a factorial of what does not grow")
    return w.log()


def sign_of(formula: Formula, setting: Setting, scale: Scale) -> int:
    """The sign that a formula keeps from the scale's first τ on, that of a product by its factors."""
    name, *parts = formula
    if is_constant(formula):
        return sign(value_of(formula, setting, scale))
    if name == "product":
        return math.prod(sign_of(part, setting, scale) for part in parts)
    if name == "exp":
        return 1
    if name == "power":
        of = sign_of(parts[0], setting, scale)
        whole = parts[1][0] == "number" and parts[1][1].denominator == 1
        if of > 0 or (whole and of < 0):
            return of if whole and parts[1][1].numerator % 2 else 1
        raise Undecided("a power of what may not be positive")
    if name == "factorial":
        if sign_of(add(ONE, parts[0]), setting, scale) > 0:
            return 1
        raise Undecided("a factorial of what may be -1 or less")
    return expansion(formula, setting, scale).sign()
