"""Assumptions that several theorems share: those decided for C, law and numbers, and those taken for granted."""

from __future__ import annotations

from collections.abc import Callable

from flint import fmpq

from theory.convergence.steps import compared
from theory.convergence.theorem import WRITTEN, Case, Judged, Unavailable
from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, Undecided, sign
from theory.numbers.decimals import shown

SMOOTH = Judged("smooth objective", None, "f is differentiable on ℝᵈ, |∇f(x) − ∇f(y)| ≤ L|x − y|, inf f > −∞")
CONVEX = Judged("convex objective", None, "f is convex on ℝᵈ and has a minimiser x*")
STRONGLY_CONVEX = Judged("strongly convex objective", None, "f − (μ/2)|x|² is convex on ℝᵈ")
PL = Judged("Polyak-Łojasiewicz", None, "|∇f(x)|² ≥ 2μ(f(x) − inf f) for every x")
NOISE = Judged("gradient noise", None, "given the past and τ_k, g_k has mean ∇f(z_k) and variance ≤ σ²")
DELAYS = Judged(
    "independent staleness", None, "τ_k has this law and is independent of all before commit k; reads are consistent"
)
NO_STEP = Judged("step size", Verdict.UNKNOWN, "no admissible step size was found")
SETTING = (SMOOTH, NOISE, DELAYS)


def nonnegative(case: Case) -> Judged:
    """Judges whether C ≥ 0 where the law has mass."""
    verdict = case.moments.nonnegative
    sentences = {
        Verdict.PROVED: "nowhere negative where the law has mass",
        Verdict.REFUTED: "negative at some staleness that has mass",
        Verdict.UNKNOWN: "its sign was not decided everywhere",
    }
    return Judged("C ≥ 0", verdict, sentences[verdict])


def mean_factor(case: Case) -> Judged:
    """Judges whether 0 < E[C] < ∞; where E[C] ≠ 1 the statement is used in its unnormalised form."""
    name, mean = "E[C] > 0", case.moments.mean
    if mean is None:
        return Judged(name, Verdict.UNKNOWN, "E[C] is infinite or was not enclosed")
    try:
        positive = sign(mean) > 0
        is_one = sign(mean - 1) == 0
    except Undecided:
        return Judged(name, compared(fmpq(0), mean), f"E[C] {shown(mean)}")
    clause = "= 1" if is_one else f"{shown(mean)}, not 1: the statement holds with η·E[C] for η where E[C] appears"
    return Judged(name, Verdict.PROVED if positive else Verdict.REFUTED, f"E[C] {clause}")


def finite(case: Case, *names: str) -> Judged:
    """Judges whether the named moments are finite."""
    written = [WRITTEN[name] for name in names]
    unknown = [WRITTEN[name] for name in names if getattr(case.moments, name) is None]
    if unknown:
        return Judged(
            f"{', '.join(written)} finite", Verdict.UNKNOWN, f"{', '.join(unknown)}: infinite or not enclosed"
        )
    values = ", ".join(f"{WRITTEN[name]} {shown(getattr(case.moments, name))}" for name in names)
    return Judged(f"{', '.join(written)} finite", Verdict.PROVED, values)


def bounded_staleness(case: Case) -> Judged:
    """Judges whether the law is bounded."""
    last = case.moments.largest_staleness
    if last is None:
        return Judged("bounded staleness", Verdict.REFUTED, "the law has mass beyond every staleness")
    return Judged("bounded staleness", Verdict.PROVED, f"τ ≤ R = {last}")


def constant_factor(case: Case, value: fmpq | None = None) -> Judged:
    """Judges whether C is the same wherever the law has mass, and is ``value`` where that is given: E[C²] = E[C]²."""
    name = "constant C" if value is None else f"C = {value}"
    try:
        mean, square = case.moment("mean"), case.moment("mean_square")
    except Unavailable as error:
        return Judged(name, Verdict.UNKNOWN, str(error))
    try:
        same = sign(square - mean * mean) == 0 and (value is None or sign(mean - value) == 0)
    except Undecided:
        factors = [case.moments.factor(tau) for tau in case.moments.support]
        target = factors[0] if value is None else value
        try:
            same = all(sign(point - target) == 0 for point in factors)
        except Undecided:
            return Judged(name, Verdict.UNKNOWN, "values of C that could not be told apart")
        if same and not case.moments.has_whole_support:
            return Judged(name, Verdict.UNKNOWN, "C is constant as far as it was looked at")
    values = f"E[C] {shown(mean)}, E[C²] {shown(square)}"
    return Judged(name, Verdict.PROVED if same else Verdict.REFUTED, values)


def at_most(name: str, left: Callable[[], Number], right: Number, inequality: str) -> Judged:
    """Judges whether a number is at most another; ``inequality`` says which, for people."""
    try:
        value = left()
    except ArithmeticError as error:
        return Judged(name, Verdict.UNKNOWN, f"{inequality}: {error}")
    return Judged(name, compared(value, right), f"{inequality}: the left side {shown(value)}")


def not_steeper(case: Case) -> Judged:
    """Judges whether μ ≤ L, which holds for every function of these assumptions that is not constant."""
    verdict = compared(case["mu"], case["L"])
    because = f"μ = {case['mu']}, L = {case['L']}"
    return Judged("μ ≤ L", verdict, because if verdict is Verdict.PROVED else f"{because}: no such function")


def step_condition(step: fmpq | None, load: Callable[[fmpq], Number], most: Number, inequality: str) -> Judged:
    """Judges whether a step size is small enough: its load is at most ``most``; UNKNOWN where there is no step size."""
    if step is None:
        return NO_STEP
    return at_most("step condition", lambda: load(step), most, inequality)


def finite_moments(case: Case) -> list[Judged]:
    """Judges what the theorems with moments of staleness and factor assume of C and the law."""
    needed = finite(case, "largest_factor", "mean_square", "staleness_mean", "staleness_square_mean")
    return [nonnegative(case), mean_factor(case), needed]
