"""Runs that differ in one thing, the step-size function, over several seeds, and what can be said about them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import optax

from jasgd import rules, schemes
from jasgd.execution import Execution
from jasgd.result import Outcome, TrainResult
from jasgd.schemes import SchemeFactory
from jasgd.supervisor import Progress
from jasgd.trainer import train
from jasgd.transform import staleness_adaptive

SHARES = (0.5, 0.25, 0.1, 0.05)  # of the initial training loss, whose reaching is measured
SMOOTHED = 20  # gradients that a smoothed loss is a mean over
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
      >>> [row["arm"] for row in told.rows], told.runs["tail"][0].outcome == "finished"
      (['constant', 'tail'], True)
    """
    chosen = tuple(Arm.parse(arm) if isinstance(arm, str) else arm for arm in arms)
    seeds = tuple(seeds)
    factory = parse_scheme(scheme) if isinstance(scheme, str) else scheme
    make = functools.partial(transformation, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer)
    _check(chosen, seeds)
    for arm in chosen:
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
    runs: dict[str, dict[int, TrainResult]] = {arm.label: {} for arm in chosen}
    name = ""
    for place, seed in enumerate(seeds):
        first = place % len(chosen)
        for arm in sorted(chosen[first:] + chosen[:first], key=lambda arm: arm.mean_of is not None):
            rule = parse_rule(arm.rule, workers=workers, learning_rate=learning_rate)
            if arm.mean_of is not None:
                factor = runs[arm.mean_of][seed].metrics["mean_factor"]
                if not math.isfinite(factor):  # not one gradient was applied there
                    continue
                rule = _control(parse_rule(arm.mean_of, workers=workers, learning_rate=learning_rate), factor)
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
                return Comparison(name, chosen, seeds, settings, runs)
    return Comparison(name, chosen, seeds, settings, runs)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs of a comparison.

    Attributes:
      problem: name of what was trained.
      arms: what was compared.
      seeds: with which seeds.
      settings: what was the same in every run.
      runs: the results, by label of the arm and by seed; a run that Ctrl-C came before is missing.
    """

    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    runs: dict[str, dict[int, TrainResult]]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table: per arm its label, the count of each outcome, and a :class:`Spread` per number of `measures`."""
        table = []
        for arm in self.arms:
            results = list(self.runs[arm.label].values())
            outcomes = {str(o): n for o in Outcome if (n := sum(r.outcome is o for r in results))}
            measured = [measures(result) for result in results]
            spreads = {name: spread([m[name] for m in measured]) for name in (measured[0] if measured else ())}
            table.append({"arm": arm.label, "outcomes": outcomes} | spreads)
        return table

    def reading(self) -> str:
        """One sentence that reads the table, and claims a difference only where the ranges over seeds lie apart.

        Every rule is held against the constant step, and against its control where there is one: by the updates to the
        least share of the initial loss that all runs of both have reached, or else by the final training loss.
        """
        rows = {row["arm"]: row for row in self.rows if "final_loss" in row}
        controls = {arm.mean_of: arm.label for arm in self.arms if arm.mean_of is not None}
        told, claims = [], False
        for arm in self.arms:
            if arm.mean_of is None and arm.label != BASELINE and arm.label in rows:
                for other in (BASELINE, controls.get(arm.label, "")):
                    if other in rows:
                        sentence, claim = _held_against(rows[arm.label], rows[other])
                        told.append(sentence)
                        claims |= claim
        where = f"On {self.problem} with {self.settings['workers']} workers, {self.settings['scheme']}"
        if not told:
            return f"{where}: nothing to compare, as no rule was run beside {BASELINE} or a control."
        runs = max(row["final_loss"].runs for row in rows.values())
        if claims:  # of all ways to deal 2n values to two arms, those that put all of one below all of the other
            told.append(f"over {runs} seeds, ranges lie apart by chance alone in 1 of {math.comb(2 * runs, runs) // 2}")
        elif runs == 1:
            told.append("one seed cannot tell a difference from chance")
        return f"{where}: {'; '.join(told)}."

    def record(self) -> dict[str, Any]:
        """Everything but parameters and executions, as values that :func:`jasgd.result.to_json` takes."""
        table = [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in self.rows]
        runs = [
            {"arm": label, "seed": seed, "outcome": str(r.outcome), "message": r.message, "metrics": r.metrics}
            for label, by_seed in self.runs.items()
            for seed, r in by_seed.items()
        ]
        told = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        return told | {"table": table, "runs": runs}


def measures(result: TrainResult) -> dict[str, float]:
    """The numbers of a run that are compared, by name; NaN where it has none.

    The final training loss is the mean over the last 100 gradients; that of a diverged run is infinite.
    """
    m = result.metrics
    diverged, ended = result.outcome is Outcome.DIVERGED, result.outcome in (Outcome.FINISHED, Outcome.CONVERGED)
    last = result.evaluations[-1] if ended and result.evaluations else {}
    told = {
        "final_loss": m["last_loss"] if ended else math.inf if diverged else math.nan,
        "test_accuracy": last.get("accuracy", math.nan),
    }
    for share in SHARES:
        told[f"updates_to_{share:.0%}"], told[f"time_to_{share:.0%}_s"] = reached(result.execution, share)
    told |= {name: m[name] for name in ("updates_per_s", "staleness_mean", "staleness_gini", "mean_factor")}
    return told | {"dropped": float(len(result.execution.dropped))}


def reached(execution: Execution, share: float) -> tuple[float, float]:
    """Updates and seconds until the smoothed loss is at most a share of the initial one; NaN where it never is.

    The initial loss is the mean over the gradients that were computed on the initial parameters.
    """
    initial = execution.loss[execution.version_read == 0]
    if len(initial) == 0:
        return math.nan, math.nan
    rows = np.flatnonzero(smoothed(execution.loss) <= share * float(initial.mean()))
    return (float(execution.version[rows[0]] + 1), float(execution.time_s[rows[0]])) if len(rows) else (math.nan,) * 2


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The mean over each gradient's loss and those of the 19 before it; NaN for the first 19. Shape and order kept."""
    means = np.full(len(losses), np.nan)
    if len(losses) >= SMOOTHED:
        windows = np.lib.stride_tricks.sliding_window_view(losses.astype(np.float64), SMOOTHED)
        means[SMOOTHED - 1 :] = windows.mean(axis=-1)
    return means


def spread(values: Sequence[float]) -> Spread:
    """Median and range of the values that are not NaN.

    Example:
      >>> spread([3.0, 1.0, math.nan])
      Spread(median=2.0, low=1.0, high=3.0, count=2, runs=3)
    """
    there = sorted(value for value in values if not math.isnan(value))
    if not there:
        return Spread(math.nan, math.nan, math.nan, 0, len(values))
    return Spread(statistics.median(there), there[0], there[-1], len(there), len(values))


def _control(rule: rules.Rule, factor: float) -> rules.Rule:
    """A constant factor at the price of a rule, which is computed for nothing.

    A rule that is computed faster makes another execution: commits meet more or less often, and staleness changes.
    """

    def control(staleness: Any, law: Any) -> Any:
        return factor + 0 * rules.evaluate(rule, staleness, law)

    control.law = getattr(rule, "law", None)  # type: ignore[attr-defined]
    control.warms_up = False  # type: ignore[attr-defined]  # the mean has the rule's own warm-up in it
    return control


def _held_against(row: dict[str, Any], other: dict[str, Any]) -> tuple[str, bool]:
    """What one arm is beside another, and whether that is a claim."""
    key, what = "final_loss", "as the final training loss"
    for share in SHARES:
        name = f"updates_to_{share:.0%}"
        if all(r[name].count == r[name].runs for r in (row, other)):
            key, what = name, f"updates to {share:.0%} of the initial loss"
    one, two, a, b = row["arm"], other["arm"], row[key], other[key]
    if not a.count or not b.count:
        return f"{one} and {two} cannot be compared, as one has no run that ended", False
    figures = f"{_figure(a)} against {_figure(b)} {what}"
    if not _apart(a, b):
        return f"{one} shows no clear difference from {two}, {figures}", False
    verdict = f"{one} is {'ahead of' if a.median < b.median else 'behind'} {two}, {figures}"
    # A rule changes what a commit costs, hence who meets whom: then it is not the step size alone that differs.
    shifted = [
        f"{what} {row[name].median:.2f} against {other[name].median:.2f}"
        for name, what in (("staleness_mean", "mean τ"), ("staleness_gini", "Gini"))
        if _apart(row[name], other[name])
    ]
    return verdict + (f", though their staleness differed too ({', '.join(shifted)})" if shifted else ""), True


def _apart(a: Spread, b: Spread) -> bool:
    return min(a.runs, b.runs) > 1 and (a.low > b.high or b.low > a.high)


def _figure(s: Spread) -> str:
    return f"{s.median:.4g} ({s.low:.4g}–{s.high:.4g})"


def _check(arms: Sequence[Arm], seeds: Sequence[int]) -> None:
    labels = [arm.label for arm in arms]
    if not arms or len(set(labels)) < len(labels):
        raise ValueError(f"arms must be one or more, and each once, got {', '.join(labels) or 'none'}")
    for arm in arms:
        if arm.mean_of is not None and arm.mean_of not in labels:
            raise ValueError(
                f"{arm.label} needs the arm {arm.mean_of}, whose mean step it takes; got {', '.join(labels)}"
            )
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds must be one or more integers ≥ 0, and each once, got {list(seeds)}")


def _canonical(text: str) -> str:
    name, options = parse_spec(text)
    told = ",".join(f"{key}={_text(value)}" for key, value in sorted(options.items()))
    if name not in rules.RULES:
        raise ValueError(f"rule must be one of {', '.join(rules.RULES)}, got {name!r}")
    return f"{name}:{told}" if told else name


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
