"""The library's own rules as candidates: their formulas are written once over a namespace, which here is SymPy's."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import sympy
from flint import fmpq

from theory.candidates.candidate import Candidate, CandidateError
from theory.formulas.formula import Formula
from theory.formulas.from_sympy import Untranslatable, distribution, mean, share, tau, translated
from theory.laws.law import CDFKind
from theory.numbers.ranges import Range


class Namespace:
    """The functions of ``jax.numpy`` that rules call, over SymPy expressions."""

    exp, log, sqrt, floor = sympy.exp, sympy.log, sympy.sqrt, sympy.floor

    @staticmethod
    def maximum(left: Any, right: Any) -> Any:
        """The larger."""
        return sympy.Max(left, right)

    @staticmethod
    def minimum(left: Any, right: Any) -> Any:
        """The smaller."""
        return sympy.Min(left, right)

    @staticmethod
    def where(holds: Any, yes: Any, no: Any) -> Any:
        """``yes`` where it holds, else ``no``."""
        return sympy.Piecewise((yes, holds), (no, True))


class SymbolicLaw:
    """The law as a rule reads it, over SymPy expressions.

    Attributes:
      kinds: which distribution functions were read.
      updates: the number of updates, a parameter ≥ 0.
    """

    def __init__(self, workers: int | None = None, mode: str | None = None) -> None:
        self.kinds: set[CDFKind] = set()
        self.updates = sympy.Symbol("updates", real=True)
        self._workers, self._mode = workers, mode

    def cdf(self, staleness: Any, kind: CDFKind = "mid") -> Any:
        """F(τ)."""
        if staleness != tau:
            raise Untranslatable("F elsewhere than at τ")
        self.kinds.add(kind)
        return distribution

    def expect(self, function: Any) -> Any:
        """The mean of a function of τ."""
        return mean(sympy.sympify(function(tau)))

    def mean(self) -> Any:
        """E[τ]."""
        return mean(tau)

    def strict_tail(self, staleness: Any) -> Any:
        """The published table where its sample has the law's own frequencies: F_strict times where it saturates."""
        if self._workers is None:
            raise Untranslatable("strict_tail belongs to the published table")
        share = (
            sympy.Integer(1) - sympy.Rational(1, 5 * self._workers) if self._mode == "leashed" else sympy.Rational(4, 5)
        )
        return share * self.cdf(staleness, "strict")


#: Arguments that a rule needs and a text may leave out; they are those of a run with 8 workers.
DEFAULTS: dict[str, Any] = {"learning_rate": 0.25, "smoothness": 1.0, "workers": 8, "concurrency": 8, "c": 0.5}


def rule_candidate(spec: str) -> Candidate:
    """The candidate of ``jasgd.rules:NAME`` or ``jasgd.rules:NAME:key=value,…``.

    Args:
      spec: name and options as on the command line; ``learning_rate``, ``smoothness``, ``workers``, ``concurrency``
        and ``c`` are those of :data:`DEFAULTS` where the rule needs them and the text has none.

    Returns:
      The candidate: C of the rule, or its distortion g where it has one, with the numbers that the rule itself
      computes with.

    Raises:
      CandidateError: for an unknown rule or option.
    """
    from jasgd import rules
    from jasgd.inputs.specs import parse_spec
    from jasgd.rules.parsing import parse_rule

    text = spec.partition(":")[2]
    try:
        name, options = parse_spec(text)
        accepted = inspect.signature(rules.RULES[name]).parameters if name in rules.RULES else {}
        missing = {key: value for key, value in DEFAULTS.items() if key in accepted and key not in options}
        if missing:
            text += (":" if ":" not in text else ",") + ",".join(f"{key}={value}" for key, value in missing.items())
        rule = parse_rule(text, workers=DEFAULTS["workers"], learning_rate=DEFAULTS["learning_rate"])
    except ValueError as error:
        raise CandidateError(f"{spec}: {error}") from error
    about = {
        "name": f"jasgd.rules:{text}",
        "source": inspect.getsource(inspect.getmodule(rules.RULES[name]) or rules),
        "is_file": False,
    }
    if (g := getattr(rule, "distortion", None)) is not None:
        return Candidate(formula=None, distortion=_distortion(g), is_distortion=True, **about)
    table = getattr(rule, "law", None)
    law = SymbolicLaw(getattr(table, "workers", None), getattr(table, "mode", None))
    formula, why = None, None
    try:
        expression = rules.evaluate(rule, tau, law, xp=Namespace)
        formula = translated(expression, frozenset({"updates"}))
    except (Untranslatable, TypeError, AttributeError) as error:
        why = str(error)
    parameters = {"updates": Range(fmpq(0), None, False, True)} if "updates" in str(formula) else {}
    return Candidate(
        formula=formula,
        untranslatable=why,
        cdf=next(iter(law.kinds)) if law.kinds else "mid",
        parameters=parameters,
        **about,
    )


def _distortion(g: functools.partial[Any]) -> Formula:
    """The formula of a rule's distortion, with its options as exact numbers: exp of a float would be rounded."""
    return translated(g.func(*map(sympy.Rational, g.args), share, xp=Namespace), frozenset())
