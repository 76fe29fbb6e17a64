"""``python -m theory.bounds my_fn.py``: which convergence theorems apply to a step-size function, and their values."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from theory.candidates.candidate import Candidate, check_support
from theory.candidates.loading import load
from theory.command_line import add_parameter_options, with_parameters
from theory.convergence.amplitude import best_amplitude, noise_factor, shape_of
from theory.convergence.candidate_moments import moments_of
from theory.convergence.theorem import BITS, NUMBERS, Case, Outcome, Theorem, evaluate
from theory.convergence.theorems import THEOREMS
from theory.convergence.truncated_line import best_truncated_line
from theory.decisions.verdict import Verdict, worst
from theory.exit_codes import BAD_INPUT, EXIT, guarded
from theory.laws import Law
from theory.laws.parsing import parse_law
from theory.numbers.balls import Number, ball, precision
from theory.numbers.decimals import ends, shown
from theory.numbers.rationals import as_fmpq, as_fraction

_COLOURS = {"PROVED": "green", "REFUTED": "red", "UNKNOWN": "yellow", "ASSUMED": "dim"}
_MAY_BE_ZERO = ("sigma", "delta", "distance")
_WHOLE = ("steps", "workers")
_WITH_V = ("nonconvex", "convex", "pl", "strongly-convex")  # theorems whose noise factor is V
_MOST_POINTS = 100_000  # of a law whose shape is summed


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m theory.bounds",
        description="Applies convergence theorems to a step-size function C(τ) under a law of the staleness: the "
        "verdict on each assumption, the largest admissible step size, and the value of the bound.",
        epilog="A candidate file is Python and is run, as importing it would run it. Numbers are decimals or fractions "
        "and are taken exactly. Exit codes: 0 every assumption that can be decided is proved, 1 one is refuted, "
        "2 one is unknown, 3 bad input, 4 a failure of the command itself.",
    )
    command.add_argument(
        "candidate", help="Python file that defines C or step_size(tau), or jasgd.rules:NAME[:key=value,...]"
    )
    command.add_argument(
        "--theorem",
        action="append",
        metavar="KEY",
        help=f"theorem to apply; repeatable: all (the default), or one of {', '.join(THEOREMS)}",
    )
    command.add_argument(
        "--distribution",
        metavar="SPEC",
        help="law of the staleness, for instance poisson:8; by default the first that the file names",
    )
    for name, meaning in NUMBERS.items():
        if name != "execution":
            command.add_argument(f"--{name}", metavar="X", help=meaning)
    command.add_argument(
        "--step-size",
        metavar="X",
        help="step size η, in [x]²/[f]; by default the theorem's own choice, mostly the largest admissible one",
    )
    add_parameter_options(command)
    command.add_argument("--json", action="store_true", help="print JSON in place of a table")
    return command


@guarded
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
      arguments: those of the command; of the process where None.

    Returns:
      0 where every assumption that can be decided is proved, 1 where one is refuted, 2 where one is unknown, 3 for bad
      input.
    """
    try:
        options = parser().parse_args(arguments)
    except SystemExit as error:
        return BAD_INPUT if error.code else 0
    try:
        chosen = _chosen(options.theorem or ["all"])
        numbers = _numbers(options)
        step = None if options.step_size is None else _exact("step-size", options.step_size)
        applicable = [theorem for theorem in chosen if not theorem.missing(numbers)]
        lacking = {t.key: t.missing(numbers) for t in chosen if t not in applicable}
        if lacking and (not applicable or "all" not in (options.theorem or ["all"])):
            raise ValueError(_needs_of_all(lacking))
        candidate = with_parameters(load(options.candidate), options)
        law = _law(candidate, options.distribution)
        with precision(BITS):
            case = Case(moments_of(candidate, law), numbers)
        outcomes = [_with_amplitude(evaluate(theorem, case, step), case, law) for theorem in applicable]
    except (ValueError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.json:
        print(json.dumps(as_json(candidate, law, outcomes, lacking), indent=1, ensure_ascii=False))
    else:
        _print(candidate, law, outcomes, lacking)
    return EXIT[worst(outcome.verdict for outcome in outcomes)]


def _with_amplitude(outcome: Outcome, case: Case, law: Law) -> Outcome:
    """Adds notes on what would make V least at its step size: of TAIL the amplitude, of all functions of τ the line."""
    if outcome.theorem.key not in _WITH_V or outcome.value is None or outcome.step is None:
        return outcome
    try:
        if law.window()[1] - law.window()[0] > _MOST_POINTS:
            return outcome
        with precision(BITS):
            spread, gini, mean = shape_of(law)
            weight = 2 * case["L"] * outcome.step
            amplitude = best_amplitude(spread, gini, weight * mean)
            note = (
                f"At this step size TAIL, 1 + A(1 − 2F), has the least E[C²]·(1 + 2LηE[τC]) with A {shown(amplitude)}."
            )
            tail = noise_factor(amplitude, spread, gini, weight * mean)
            notes = [note, *_best_line(law, weight, {"the constant's": 1 + weight * mean, "TAIL's at that A": tail})]
    except ArithmeticError:
        return outcome
    return dataclasses.replace(outcome, notes=[*outcome.notes, *notes])


def _best_line(law: Law, weight: fmpq, others: Mapping[str, Number]) -> list[str]:
    """A note on the truncated line that makes V least, beside other values of V; none where it is not found."""
    try:
        line = best_truncated_line(law, weight)
        shares = [f"{_percent(ball(line.value) / value)} of {name}" for name, value in others.items()]
    except ArithmeticError:
        return []
    threshold = "θ = ∞, so C = 1," if line.threshold is None else f"θ {shown(line.threshold, 6)}"
    return [
        f"Of all functions of τ the truncated line (1 − τ/θ)₊/E[(1 − T/θ)₊] with {threshold} has the least: "
        f"{shown(line.value)}, {' and '.join(shares)}."
    ]


def _percent(share: arb) -> str:
    return f"{float((100 * share).mid()):.4g} %"


def as_json(
    candidate: Candidate, law: Law, outcomes: Sequence[Outcome], lacking: Mapping[str, list[str]]
) -> dict[str, Any]:
    """The results as JSON data: numbers as pairs of decimals around them, or twice the same fraction.

    Args:
      candidate: the function.
      law: of the staleness.
      outcomes: of the theorems that were applied.
      lacking: theorems that were not, and the numbers that they lack.

    Returns:
      Only what JSON can hold.
    """
    return {
        "candidate": candidate.name,
        "law": law.to_json(),
        "verdict": worst(outcome.verdict for outcome in outcomes).value,
        "theorems": [_outcome_json(outcome) for outcome in outcomes],
        "not_applied": dict(lacking),
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    theorem = outcome.theorem
    best = None if outcome.best is None else {"step_size": str(outcome.best[0]), "value": ends(outcome.best[1])}
    return {
        "theorem": theorem.key,
        "title": theorem.title,
        "verdict": outcome.verdict.value,
        "assumptions": [
            {"name": judged.name, "verdict": judged.label, "because": judged.because} for judged in outcome.assumptions
        ],
        "statement": theorem.statement,
        "largest_step_size": _ends(outcome.largest_step),
        "step_size": None if outcome.step is None else str(outcome.step),
        "value": _ends(outcome.value),
        "least_bound": best,
        "notes": list(outcome.notes),
        "provenance": theorem.provenance,
        "source": theorem.source,
    }


def _ends(value: Number | None) -> list[str] | None:
    return None if value is None else ends(value)


def _chosen(keys: Sequence[str]) -> list[Theorem]:
    for key in keys:
        if key not in THEOREMS and key != "all":
            raise ValueError(f"--theorem {key}: the keys are all, {', '.join(THEOREMS)}")
    return list(THEOREMS.values()) if "all" in keys else [THEOREMS[key] for key in dict.fromkeys(keys)]


def _needs_of_all(lacking: Mapping[str, list[str]]) -> str:
    """What theorems lack: a line each, and then what the numbers are; of a single theorem one sentence."""
    if len(lacking) == 1:
        ((key, names),) = lacking.items()
        return _needs(key, names)
    lines = ["numbers are missing: give those of a theorem, or choose one with --theorem"]
    for key, names in lacking.items():
        what = "an execution, not a law" if "execution" in names else " ".join(f"--{name}" for name in names)
        lines.append(f"  {key:<20} needs {what}")
    lines.append("where")
    for name in NUMBERS:
        if any(name in names for names in lacking.values()) and name != "execution":
            lines.append(f"  --{name:<11} {NUMBERS[name].partition(';')[0]}")
    return "\n".join(lines)


def _needs(key: str, names: Sequence[str]) -> str:
    if "execution" in names:
        return f"{key} is evaluated on an execution, not on a law"
    return f"{key} needs " + ", ".join(f"--{name} ({NUMBERS[name].partition(';')[0]})" for name in names)


def _numbers(options: argparse.Namespace) -> dict[str, fmpq]:
    written = {name: getattr(options, name, None) for name in NUMBERS}
    return {name: _exact(name, text) for name, text in written.items() if text is not None}


def _exact(name: str, text: str) -> fmpq:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"--{name} must be a decimal or a fraction, got {text!r}") from error
    if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        raise ValueError(f"--{name} must be {'≥' if name in _MAY_BE_ZERO else '>'} 0, got {text}")
    if name in _WHOLE and value.denominator != 1:
        raise ValueError(f"--{name} must be a whole number, got {text}")
    if max(value.numerator, value.denominator) > 10**100:
        raise ValueError(f"--{name} has too many digits")
    return as_fmpq(value)


def _law(candidate: Candidate, spec: str | None) -> Law:
    if spec is None and not candidate.laws:
        raise ValueError("a law is needed: --distribution poisson:8, or distribution = 'poisson:8' in the file")
    law = candidate.laws[0] if spec is None else parse_law(spec)
    check_support(candidate, law)
    return law


def _print(candidate: Candidate, law: Law, outcomes: Sequence[Outcome], lacking: Mapping[str, list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:  # Rich cuts tables to 80 columns where there is no terminal to ask
        console = Console(width=140)
    console.print(f"{candidate.name} under {law}", highlight=False, markup=False)
    for outcome in outcomes:
        theorem = outcome.theorem
        table = Table("assumption", "verdict", "evidence", title=theorem.title, title_justify="left")
        for judged in outcome.assumptions:
            table.add_row(Text(judged.name), Text(judged.label, _COLOURS[judged.label]), Text(judged.because))
        console.print(table)
        for line in [*theorem.statement.splitlines(), *_lines(outcome)]:
            console.print(Text("  " + line))
        console.print()
    for key, names in lacking.items():
        console.print(Text(_needs(key, names), "dim"))


def _lines(outcome: Outcome) -> list[str]:
    theorem = outcome.theorem
    lines = []
    if theorem.largest_step is None:
        lines.append("every step size is admissible")
    else:
        largest = outcome.largest_step
        lines.append(f"{theorem.step_words}: {'none was found' if largest is None else _value(largest)}")
    if outcome.step is not None and outcome.value is not None:
        holds = "" if outcome.verdict is Verdict.PROVED else f" (an assumption is {outcome.verdict.value})"
        lines.append(f"value at η {shown(outcome.step)}: {_value(outcome.value)}{holds}")
    if outcome.best is not None and outcome.best[0] != outcome.step:
        lines.append(f"least at about η ≈ {float(as_fraction(outcome.best[0])):.4g}: {_value(outcome.best[1])}")
    return [*lines, *outcome.notes, f"{theorem.provenance}; {theorem.source}"]


def _value(value: Number) -> str:
    return shown(value).removeprefix("= ")


if __name__ == "__main__":
    raise SystemExit(main())
