"""The rules by distance that have names, and how one is written: ``distance:tail``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from jasgd.distances.parabolas import measured_parabola, parabola
from jasgd.inputs import specs
from jasgd.inputs.checks import integer
from jasgd.rules.parsing import canonical, parse_rule
from jasgd.rules.protocol import Rule, reads_law
from jasgd.rules.table import RULES

PREFIX = "distance:"
WINDOW = 64  # updates that the law of the distances remembers, by default
MEASURES = ("distance", "path")
BESIDES = ("window", "measure", "steady")  # options of the transformation, which a text may have beside the rule's

#: The rules that are functions of the distance alone; besides them there are those of RULES that read the law.
PARABOLAS: dict[str, Callable[..., Rule]] = {"parabola": parabola, "measured_parabola": measured_parabola}


@dataclasses.dataclass(frozen=True, repr=False)
class DistanceRule:
    """A rule by distance with all that :func:`jasgd.distance_adaptive` takes besides, as a text names it.

    Attributes:
      rule: C(D), given the law of D.
      window: updates that the law remembers.
      measure: ``"distance"`` or ``"path"``.
      steady: whether the mean factor is held at 1, see :func:`jasgd.distance_adaptive`.
    """

    rule: Rule
    window: int = WINDOW
    measure: str = "distance"
    steady: bool = False
    by_distance: ClassVar[bool] = True

    def __repr__(self) -> str:
        besides = ", steady=True" if self.steady else ""
        return f"distance_adaptive(rule={self.rule!r}, window={self.window}, measure={self.measure!r}{besides})"

    def __call__(self, distance: Any, law: Any) -> Any:
        """The factor C(D), given the law of D."""
        return self.rule(distance, law)


def parse_distance_rule(text: str, *, workers: int | None = None, learning_rate: float | None = None) -> DistanceRule:
    """The rule by distance that a text names.

    Args:
      text: ``tail``, ``parabola:kappa=0.5`` or any rule that reads the law, as for :func:`jasgd.rules.named`; the
        options ``window``, ``measure`` and ``steady`` are those of :func:`jasgd.distance_adaptive`.
      workers: see :func:`jasgd.rules.parsing.parse_rule`.
      learning_rate: likewise.

    Returns:
      The rule with its window, measure and ``steady``.

    Raises:
      ValueError: for an unknown name or option, a missing option, a value that the rule refuses, or a rule that does
        not read the law.

    Example:
      >>> parse_distance_rule("tail:window=32,measure=path")
      distance_adaptive(rule=tail(amplitude=1.0, cdf='mid'), window=32, measure='path')
    """
    name, options = specs.parse_spec(text)
    besides = {key: options.pop(key) for key in BESIDES if key in options}
    if name in PARABOLAS:
        try:
            specs.check_kinds(PARABOLAS[name], options)
            rule = specs.make(f"rule {name!r}", PARABOLAS[name], options, besides=BESIDES)
        except ValueError as error:
            raise ValueError(f"rule {PREFIX}{text}: {error}") from error
    else:
        _factory(name)

        def parsed(options: dict[str, Any]) -> Rule:
            return parse_rule(specs.write_spec(name, options), workers=workers, learning_rate=learning_rate)

        rule = parsed(options)
        _check_unit(name, rule, lambda: parsed({key: options[key] for key in options if key != "normalized"}))
    check_distance_rule(rule)
    return DistanceRule(rule, **checked_measure(**besides))


def _factory(name: str) -> Callable[..., Rule]:
    """The factory of a rule behind ``distance:``; ValueError where there is none of that name."""
    if name not in (table := RULES | PARABOLAS):
        known = ", ".join(["tail", *PARABOLAS])
        raise ValueError(f"rule by distance must be one of {known}, or another that reads the law, got {name!r}")
    return table[name]


def _check_unit(name: str, rule: Rule, plain: Callable[[], Rule]) -> None:
    """Refuses a rule whose numbers are in updates, in which a distance is not; ValueError."""
    if name == "best_linear" or (reads_law(rule) and not reads_law(plain())):
        raise ValueError(
            f"rule by distance must be one without numbers in updates, such as tail or parabola, got {rule!r}, whose "
            "factor would depend on the unit of the parameters"
        )


def check_distance_rule(rule: Any) -> None:
    """Refuses what is no rule, and one that cannot be a function of the distance.

    Args:
      rule: anything.

    Returns:
      None.

    Raises:
      TypeError: for what is no rule.
      ValueError: for a rule of the staleness itself, or one with a law of its own.
    """
    if not reads_law(rule):
        raise ValueError(
            f"rule must read the law to be one by distance, as tail and parabola do, got {rule!r}, a function of the "
            "staleness alone"
        )
    if getattr(rule, "law", None) is not None:
        raise ValueError(f"rule must bring no law of its own to be one by distance, got {rule!r}")


def checked_measure(window: Any = WINDOW, measure: Any = "distance", steady: Any = False) -> dict[str, Any]:
    """The arguments by name, once they are a window, the name of a measure, and True or False; ValueError."""
    if not isinstance(steady, bool):
        raise ValueError(f"steady must be True or False, got {steady!r}")
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    return {"window": integer("window", window, 1), "measure": measure, "steady": steady}


def parse_step_rule(text: str, *, workers: int | None = None, learning_rate: float | None = None) -> Any:
    """The rule that a text names, of the staleness or, behind ``distance:``, of the distance.

    Args:
      text: as on the command line.
      workers: see :func:`jasgd.rules.parsing.parse_rule`.
      learning_rate: likewise.

    Returns:
      A rule of the staleness, or a :class:`DistanceRule`.

    Raises:
      ValueError: as those that read either.

    Example:
      >>> parse_step_rule("tail"), parse_step_rule("distance:parabola").window
      (tail(amplitude=1.0, cdf='mid'), 64)
    """
    if is_distance_rule(text):
        return parse_distance_rule(after_prefix(text), workers=workers, learning_rate=learning_rate)
    return parse_rule(text, workers=workers, learning_rate=learning_rate)


def canonical_step_rule(text: str) -> str:
    """The text of either kind of rule with its options in alphabetical order, and no spaces; ValueError for none.

    Example:
      >>> canonical_step_rule("distance: tail: window=64, amplitude=0.5")
      'distance:tail:amplitude=0.5,window=64'
    """
    if not is_distance_rule(text):
        return canonical(text)
    name, options = specs.parse_spec(after_prefix(text))
    _factory(name)
    return PREFIX + specs.write_spec(name, options)


def is_distance_rule(text: str) -> bool:
    """Whether a text names a rule by distance."""
    return text.partition(":")[0].strip() == PREFIX[:-1]


def after_prefix(text: str) -> str:
    """What follows ``distance:``."""
    return text.partition(":")[2].strip()


def options_of(text: str) -> set[str]:
    """Names of the options that the factory of a rule has, of either kind."""
    by_distance = is_distance_rule(text)
    name = specs.parse_spec(after_prefix(text) if by_distance else text)[0]
    return set(inspect.signature(_factory(name) if by_distance else RULES[name]).parameters)
