"""Runs that differ in one thing, the step-size function, over several seeds, and what can be said about them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import optax

from jasgd import rules, schemes
from jasgd.execution import Execution
from jasgd.result import Outcome, TrainResult
from jasgd.schemes import SchemeFactory
from jasgd.supervisor import RECENT, Progress
from jasgd.trainer import train
from jasgd.transform import staleness_adaptive

SHARES = (0.5, 0.25, 0.1, 0.05)  # of the initial training loss, whose reaching is measured
BASELINE = "constant"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the things compared: a step-size function, or the control of one.

    Attributes:
      label: its name in tables and plots, which is its text.
      rule: the rule, as :func:`parse_rule` reads it.
      mean_of: label of the arm whose realised E[C], with the same seed, is the constant factor here; None otherwise.
    """

    label: str
    rule: str
    mean_of: str | None = None

    @classmethod
    def parse(cls, text: str) -> Arm:
        """An arm from text.

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
        rule, at, base = text.partition("@")
        rule = _canonical(rule)
        if not at:
            return cls(rule, rule)
        if rule != BASELINE:
            raise ValueError(f"a control is written {BASELINE}@RULE, got {text!r}")
        base = _canonical(base)
        return cls(f"{rule}@{base}", rule, base)


class Spread(NamedTuple):
    """A number over seeds; infinite where a run diverged, left out where it has no value."""

    median: float
    low: float
    high: float
    count: int  # runs that have a value
    runs: int


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Splits ``name:key=value,key=value``, as rules and schemes are written on the command line.

    Args:
      text: the name, and behind a colon its options; a value is a number, true, false, none, or else a string.

    Returns:
      The name and the options.

    Raises:
      ValueError: for an option that is not key=value, or that comes twice.

    Example:
      >>> parse_spec("exponential:beta=0.1,normalized=true")
      ('exponential', {'beta': 0.1, 'normalized': True})
    """
    name, colon, told = (part.strip() for part in text.partition(":"))
    options: dict[str, Any] = {}
    for option in told.split(",") if colon else []:
        key, equals, value = (part.strip() for part in option.partition("="))
        if not (key and equals and value) or key in options:
            raise ValueError(f"{text!r}: options are written name:key=value,key=value, each once; got {option!r}")
        options[key] = _value(value)
    return name, options


def parse_rule(text: str, *, workers: int, learning_rate: float) -> rules.Rule:
    """The rule that a text names.

    Args:
      text: ``name:key=value,…`` with a name and options of :data:`jasgd.rules.RULES`; ``normalized=true`` divides the
        rule by its mean.
      workers: what the options ``workers`` and ``concurrency`` are, where the rule has them and the text does not.
      learning_rate: the same for ``learning_rate``.

    Returns:
      The rule.

    Raises:
      ValueError: for an unknown name or option, a missing option, or a value that the rule refuses.

    Example:
      >>> float(parse_rule("koloskova:smoothness=1", workers=4, learning_rate=0.25)(8))
      0.125
    """
    name, options = parse_spec(text)
    if not isinstance(options.get("normalized", False), bool):
        raise ValueError(f"rule {text!r}: normalized must be true or false, got {options['normalized']!r}")
    if name in rules.RULES:
        known = {"workers": workers, "concurrency": workers, "learning_rate": learning_rate}
        wanted = inspect.signature(rules.RULES[name]).parameters
        options = {key: value for key, value in known.items() if key in wanted} | options
    try:
        return rules.named(name, **options)
    except (TypeError, ValueError) as error:  # a TypeError where a string stands for a number
        raise ValueError(f"rule {text!r}: {error}") from error


def parse_scheme(text: str) -> SchemeFactory:
    """The scheme that a text such as ``leashed:persistence=3`` names; ValueError where there is none."""
    name, options = parse_spec(text)
    return schemes.named(name, **options)


def transformation(
    rule: rules.Rule,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    optimizer: Literal["sgd", "adam"] = "sgd",
    law: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with a rule in its place: before SGD and its momentum, after Adam, which would divide it away.

    Args:
      rule: C(τ).
      learning_rate: > 0.
      momentum: of SGD, 0 ≤ momentum < 1.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law, see :func:`jasgd.staleness_adaptive`.

    Returns:
      The transformation.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> import jasgd
      >>> tx = transformation(jasgd.rules.tail(), learning_rate=0.1)
    """
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be a finite number > 0, got {learning_rate}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    adaptive = staleness_adaptive(rule, law)
    if optimizer == "adam":
        if momentum:
            raise ValueError(f"momentum goes with the optimizer sgd; Adam has its own, got {momentum}")
        return optax.chain(optax.adam(learning_rate), adaptive)
    if optimizer != "sgd":
        raise ValueError(f"optimizer must be sgd or adam, got {optimizer!r}")
    return optax.chain(adaptive, optax.sgd(learning_rate, momentum=momentum or None))


def compare(
    problem: Callable[[int], Any],
    arms: Sequence[str | Arm],
    seeds: Sequence[int],
    *,
    workers: int,
    learning_rate: float,
    scheme: str | SchemeFactory = "leashed",
    steps: int | None = None,
    time_limit_s: float | None = None,
    target_loss: float | None = None,
    momentum: float = 0.0,
    optimizer: Literal["sgd", "adam"] = "sgd",
    law: Any = None,
    evaluate_every_s: float = 1.0,
    on_progress: Callable[[Arm, int, Progress], None] | None = None,
    on_result: Callable[[Arm, int, TrainResult], None] | None = None,
) -> Comparison:
    """Trains every arm with every seed, so that nothing but the rule differs.

    Seeds are the outer loop, so that a machine which gets slower meanwhile does so for every arm; which arm comes first
    goes round, but a control comes after the arm that it is the control of. Ctrl-C ends the comparison; what was run
    until then is returned.

    Args:
      problem: from a seed to what has a name, loss_fn, params, batches and evaluate, see :func:`jasgd.train`; for
        instance ``lambda seed: problems.load("digits", "mlp", seed=seed)``.
      arms: the rules, see :meth:`Arm.parse`; each once.
      seeds: integers ≥ 0; each once.
      workers: number of workers, ≥ 1.
      learning_rate: > 0.
      scheme: see :func:`jasgd.train`, as are the three stop conditions and ``evaluate_every_s``.
      steps: commits after which a run ends.
      time_limit_s: seconds after which a run ends.
      target_loss: test loss at which a run ends.
      momentum: see :func:`transformation`, as is ``optimizer``.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law, for the rules that do not bring their own.
      evaluate_every_s: seconds between evaluations.
      on_progress: called as ``on_progress(arm, seed, progress)``.
      on_result: called as ``on_result(arm, seed, result)`` behind every run.

    Returns:
      The comparison, with every run in it, also those that failed or diverged.

    Raises:
      ValueError: for arms, seeds or options that cannot work, before anything is trained.

    Example:
      >>> from jasgd import problems
      >>> told = compare(lambda seed: problems.load("digits", seed=seed), ["constant", "tail"], [0], workers=1,
      ...                learning_rate=0.05, steps=3)
      >>> [row["arm"] for row in told.rows()], told.runs["tail"][0].outcome == "finished"
      (['constant', 'tail'], True)
    """
    arms = tuple(Arm.parse(arm) if isinstance(arm, str) else arm for arm in arms)
    seeds = tuple(seeds)
    factory = parse_scheme(scheme) if isinstance(scheme, str) else scheme
    make = functools.partial(transformation, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer)
    _check(arms, seeds)
    for arm in arms:
        make(parse_rule(arm.rule, workers=workers, learning_rate=learning_rate))
    settings = {
        "scheme": schemes.describe(factory),
        "workers": workers,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "optimizer": optimizer,
        "steps": steps,
        "time_limit_s": time_limit_s,
        "target_loss": target_loss,
    }
    runs: dict[str, dict[int, TrainResult]] = {arm.label: {} for arm in arms}
    name = ""
    for place, seed in enumerate(seeds):
        first = place % len(arms)
        for arm in sorted(arms[first:] + arms[:first], key=lambda arm: arm.mean_of is not None):
            rule = parse_rule(arm.rule, workers=workers, learning_rate=learning_rate)
            if arm.mean_of is not None:
                factor = runs[arm.mean_of][seed].metrics["mean_factor"]
                if not math.isfinite(factor):  # not one gradient was applied there
                    continue
                rule = rules.constant(factor)
            task = problem(seed)
            name = task.name
            result = train(
                task.loss_fn,
                task.params,
                make(rule, law=law if getattr(rule, "law", None) is None else None),
                task.batches,
                scheme=factory,
                workers=workers,
                steps=steps,
                time_limit_s=time_limit_s,
                target_loss=target_loss,
                evaluate=task.evaluate,
                evaluate_every_s=evaluate_every_s,
                throw=False,
                on_progress=None if on_progress is None else functools.partial(on_progress, arm, seed),
                seed=seed,
            )
            runs[arm.label][seed] = result
            if on_result is not None:
                on_result(arm, seed, result)
            if result.outcome is Outcome.STOPPED:
                return Comparison(name, arms, seeds, settings, runs)
    return Comparison(name, arms, seeds, settings, runs)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs of a comparison.

    Attributes:
      problem: name of what was trained.
      arms: what was compared.
      seeds: with which seeds.
      settings: what was the same in every run.
      runs: the results, by label of the arm and by seed; those not run, for Ctrl-C came first, are missing.
    """

    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    runs: dict[str, dict[int, TrainResult]]

    def rows(self) -> list[dict[str, Any]]:
        """The table: per arm its label, the count of each outcome, and a :class:`Spread` of each of the MEASURES."""
        table = []
        for arm in self.arms:
            results = list(self.runs[arm.label].values())
            counted = {str(o): sum(r.outcome is o for r in results) for o in Outcome}
            row: dict[str, Any] = {"arm": arm.label, "outcomes": {o: n for o, n in counted.items() if n}}
            table.append(row | {name: spread([measure(r) for r in results]) for name, measure in MEASURES.items()})
        return table

    def reading(self) -> str:
        """One sentence that reads the table, and claims a difference only where the ranges over seeds do not overlap.

        Every rule is held against the constant step, and against its control where there is one: by the updates to the
        least share of the initial loss that all runs of both have reached, or else by the final training loss.
        """
        rows = {row["arm"]: row for row in self.rows()}
        controls = {arm.mean_of: arm.label for arm in self.arms if arm.mean_of is not None}
        pairs = [
            (arm.label, other)
            for arm in self.arms
            if arm.mean_of is None and arm.label != BASELINE
            for other in (BASELINE, controls.get(arm.label))
            if other in rows
        ]
        seeds = len(self.seeds)
        where = f"On {self.problem}, {self.settings['scheme']}, {self.settings['workers']} workers"
        if not pairs:
            return f"{where}: there is nothing to compare with, since no arm is {BASELINE} or a control."
        told = "; ".join(_told(rows[one], rows[other], self.runs) for one, other in pairs)
        caution = "one seed says nothing about chance"
        if seeds > 1:
            caution = f"with {seeds} seeds, ranges lie apart by chance in 1 of {math.comb(2 * seeds, seeds) // 2}"
        return f"{where}, medians of {seeds} seeds: {told} ({caution})."

    def record(self) -> dict[str, Any]:
        """Everything but the executions, as values that :func:`jasgd.result.to_json` takes."""
        rows = [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in self.rows()]
        runs = {
            label: {seed: {"outcome": str(r.outcome), "message": r.message, "metrics": r.metrics} for seed, r in by_seed}
            for label, by_seed in ((label, results.items()) for label, results in self.runs.items())
        }
        told = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        return told | {"table": rows, "runs": runs}
