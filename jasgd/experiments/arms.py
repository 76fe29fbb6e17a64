"""The arms of a comparison: step-size functions, and controls that take the mean step of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jasgd.distances.table import canonical_step_rule
from jasgd.experiments.paired_tests import FEWEST_PAIRS
from jasgd.inputs.checks import described, is_integer, several
from jasgd.showing import brief

BASELINE = "constant"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm of a comparison: a step-size function, or the control of one.

    Attributes:
      label: its name in tables and plots, which is its text.
      rule: the rule, as :func:`jasgd.distances.table.parse_step_rule` reads it.
      mean_of: of a control, the label of the arm whose realised E[C], with the same seed, is its constant factor.
    """

    label: str
    rule: str
    mean_of: str | None = None

    @classmethod
    def parse(cls, text: str) -> Arm:
        """The arm that a text names.

        ``constant@tail:cdf=strict`` is the control of ``tail:cdf=strict``: a constant step, of the mean length that the
        other one took. It shows what of a gain is due to a larger mean step only.

        Args:
          text: a rule such as ``tail`` or ``exponential:beta=0.1,normalized=true``, or ``constant@`` and a rule.

        Returns:
          The arm; spaces are removed, and options brought into alphabetical order.

        Raises:
          ValueError: for an unknown rule, or text that is none of this.

        Example:
          >>> Arm.parse("constant@tail: cdf=strict")
          Arm(label='constant@tail:cdf=strict', rule='constant', mean_of='tail:cdf=strict')
        """
        rule, separator, base = text.partition("@")
        rule = canonical_step_rule(rule)
        if not separator:
            return cls(rule, rule)
        if rule != BASELINE:
            raise ValueError(f"a control is written {BASELINE}@RULE, got {text!r}")
        base = canonical_step_rule(base)
        return cls(f"{rule}@{base}", rule, base)


def arms_of(arms: Any) -> tuple[Arm, ...]:
    """The arms that an argument names, or are in it.

    Args:
      arms: texts, see :meth:`Arm.parse`, or arms.

    Returns:
      The arms.

    Raises:
      TypeError: for what is no sequence of them.
      ValueError: for a text that is no arm.

    Example:
      >>> [arm.label for arm in arms_of(["tail", Arm.parse("constant")])]
      ['tail', 'constant']
    """
    chosen = several("arms", arms, "texts such as 'tail'")
    for arm in chosen:
        if not isinstance(arm, (str, Arm)):
            raise TypeError(f"arms must be texts such as 'tail', or of jasgd.Arm, got {described(arm)}")
    return tuple(Arm.parse(arm) if isinstance(arm, str) else arm for arm in chosen)


def with_controls(arms: Sequence[Arm], seeds: Sequence[int]) -> tuple[Arm, ...]:
    """The arms, with the control of each rule where a claim can be made, which needs it.

    Args:
      arms: the arms of a comparison.
      seeds: its seeds.

    Returns:
      The same where the constant step is none of them, or the seeds are too few for any claim; else each rule is
      followed by its control, unless that is among the arms already.

    Example:
      >>> [arm.label for arm in with_controls(arms_of(["constant", "tail"]), range(8))]
      ['constant', 'tail', 'constant@tail']
    """
    labels = [arm.label for arm in arms]
    if BASELINE not in labels or len(seeds) < FEWEST_PAIRS:
        return tuple(arms)
    controlled = {arm.mean_of for arm in arms}
    completed: list[Arm] = []
    for arm in arms:
        completed.append(arm)
        if arm.mean_of is None and arm.label != BASELINE and arm.label not in controlled:
            completed.append(Arm(f"{BASELINE}@{arm.label}", BASELINE, arm.label))
    return tuple(completed)


def check_arms(arms: Sequence[Arm], seeds: Sequence[int]) -> None:
    """Refuses arms and seeds that come twice, and controls of what is not run.

    Args:
      arms: the arms of a comparison.
      seeds: its seeds.

    Returns:
      None.

    Raises:
      ValueError: naming what cannot work.

    Example:
      >>> check_arms([Arm.parse("tail"), Arm.parse("constant@tail")], [0, 1])
    """
    labels = [arm.label for arm in arms]
    if not arms or len(set(labels)) < len(labels):
        raise ValueError(f"arms must be one or more, and each once, got {', '.join(labels) or 'none'}")
    measured = {arm.label for arm in arms if arm.mean_of is None}
    for arm in arms:
        if arm.mean_of is not None and arm.mean_of not in measured:
            need = f"{arm.label} needs the arm {arm.mean_of}, no control, whose mean step it takes"
            raise ValueError(f"{need}; got {', '.join(labels)}")
    if not seeds or not all(map(is_integer, seeds)) or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds must be one or more integers ≥ 0, and each once, got {brief(list(seeds))}")


def check_problem(problem: Any) -> None:
    """Refuses what is no function of a seed, as one of the problems that it would give.

    Args:
      problem: what a comparison takes.

    Returns:
      None.

    Raises:
      TypeError: for what cannot be called.

    Example:
      >>> check_problem(lambda seed: None)
    """
    if callable(problem):
        return
    hint = (
        ": pass a function, as in lambda seed: problems.load('digits', seed=seed)"
        if hasattr(problem, "loss_fn")
        else ""
    )
    raise TypeError(f"problem must be a function of a seed, got {described(problem)}{hint}")
