"""A picture of a step-size function: C by staleness, and E[C] by the number of workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from jasgd.presenting.pictures.canvas import new_figure
from jasgd.presenting.pictures.style import Style, style_of
from jasgd.record.saving.files import write_whole
from jasgd.report.saving import drawn as file_of
from theory.analysis.pointwise import PointValues
from theory.candidates.candidate import Candidate, CandidateError
from theory.decisions.decision import question_about
from theory.decisions.question import Question
from theory.decisions.time_limit import OutOfTime, limited
from theory.formulas.formula import reads_law
from theory.formulas.writing import text
from theory.laws import Law
from theory.laws.parsing import parse_law
from theory.numbers.balls import PRECISIONS, ball, precision

WORKERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FORMATS = (".png", ".svg", ".pdf")
_REACH = 64  # staleness that is drawn at least, where no law says how far
_MOST = 1_024  # staleness values that are drawn


def require_drawable(candidates: Sequence[Candidate], path: str) -> None:
    """Refuses what cannot be drawn, before anything is decided.

    Raises:
      CandidateError: for another format, or for a parameter that is a range.
      ImportError: where Matplotlib is missing.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise CandidateError(f"--plot must end with {', '.join(FORMATS)}, got {path}")
    with style_of("light", "page").applied():  # which needs Matplotlib
        pass
    for candidate in candidates:
        if candidate.is_distortion:
            raise CandidateError(f"{candidate.name}: --plot draws functions of the staleness, and this is a distortion")
        for name, known in candidate.parameters.items():
            if not known.is_point():
                raise CandidateError(f"{candidate.name}: --plot needs one value of {name}, --set {name}=VALUE")


def save_picture(candidates: Sequence[Candidate], laws: Sequence[Law], path: str, *, limit_s: float = 20.0) -> None:
    """Draws C(τ), and E[C] where m workers have the mean staleness m - 1, as Poisson and as geometric law.

    Args:
      candidates: with formulas; others are left out.
      laws: under which C is drawn where it reads the law; those that a candidate names where there are none here.
      path: of the picture, a PNG, SVG or PDF.
      limit_s: seconds that one mean may take; it is left out of the curve otherwise.
    """
    drawn = [candidate for candidate in candidates if candidate.formula is not None]
    style = style_of("light", "page")
    with style.applied():
        figure, (axes,) = new_figure(style, 1, 2, 2.8)
        looks = _looks(style)
        for candidate in drawn:
            look = next(looks)
            for place, (question, label) in enumerate(_questions(candidate, laws)):
                staleness, values = _curve(question)
                marker = "." if len(values) <= 20 else None
                axes[0].plot(staleness, values, label=label, marker=marker, **(next(looks) if place else look))
            for kind, line in (("geometric", "-"), ("Poisson", ":")):
                label = _short(candidate) if kind == "geometric" else None
                means = _means(candidate, kind, limit_s)
                axes[1].plot(WORKERS, means, label=label, marker=".", color=look["color"], linestyle=line)
        for place in axes:
            place.axhline(1, color=style.theme.muted, linewidth=1, zorder=0)
            place.legend()
        axes[0].set(xlabel="staleness τ (updates)", ylabel="C(τ)", title="Step-size factor")
        title = "Overall step size, for τ of mean m - 1:\ngeometric (solid) and Poisson (dotted)"
        axes[1].set(xlabel="workers m", ylabel="E[C]", title=title)
        axes[1].set_xscale("log", base=2)
        axes[1].set_xticks([1, 2, 4, 8, 16, 32, 64], labels=["1", "2", "4", "8", "16", "32", "64"])
        write_whole(Path(path), file_of(figure, Path(path).suffix[1:].lower()))


def _looks(style: Style) -> Iterator[dict[str, str]]:
    """A colour for each curve; where there are more than colours, lines are dashed."""
    for line in itertools.cycle(("-", "--", ":")):
        for colour in style.theme.colours[1:]:
            yield {"color": colour, "linestyle": line}


def _questions(candidate: Candidate, laws: Sequence[Law]) -> list[tuple[Question, str]]:
    """What is drawn of a candidate: one curve, or one for each law that it reads."""
    assert candidate.formula is not None
    if not reads_law(candidate.formula):
        question = question_about(candidate, None)
        return [(question, f"{_short(candidate)}: {text(question.formula)}")]
    own = tuple(laws) or candidate.laws or (parse_law("geometric:1/8"), parse_law("poisson:7"))
    return [(question_about(candidate, law), f"{_short(candidate)} under {law}") for law in own]


def _short(candidate: Candidate) -> str:
    return candidate.name.rpartition("/")[2]


def _curve(question: Question) -> tuple[list[int], list[float]]:
    """Staleness values and C there; NaN, a gap, where it has no value."""
    first, last = question.domain
    law = question.setting.law
    reach = _REACH if law is None else law.last if law.last is not None else _quantile(law)
    last = (
        min(first + max(reach, 8), first + _MOST) if last is None else min(last, first + max(reach, 8), first + _MOST)
    )
    staleness = list(range(first, last + 1))
    values = PointValues(question.formula, question.setting)
    return staleness, [_value(values, tau) for tau in staleness]


def _value(values: PointValues, tau: int) -> float:
    try:
        return float(ball(values.certain(tau)))
    except ArithmeticError:
        return float("nan")


def _quantile(law: Law) -> int:
    """A staleness beyond which less than 1 % of the mass lies."""
    tau = 8
    while float(ball(law.distribution(tau, "inclusive"))) < 0.99 and tau < _MOST:
        tau *= 2
    return tau


def _means(candidate: Candidate, kind: str, limit_s: float) -> list[float]:
    """E[C] for numbers of workers, under the law of a kind with mean one less; NaN where it is not enclosed."""
    means = []
    for workers in WORKERS:
        spec = {"geometric": f"geometric:{Fraction(1, workers)}", "Poisson": f"poisson:{workers - 1}"}[kind]
        law = parse_law("constant:0" if workers == 1 else spec)
        try:
            with precision(PRECISIONS[0]), limited(limit_s):
                question = question_about(candidate, law)
                means.append(float(ball(question.setting.mean(question.formula))))
        except (ArithmeticError, OutOfTime):
            means.append(float("nan"))
    return means
