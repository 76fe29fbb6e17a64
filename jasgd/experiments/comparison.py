"""``compare``: runs that differ in the step-size function only, over several seeds, and conclusions from them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import optax

from jasgd import rules, schemes
from jasgd.experiments.arms import BASELINE, Arm, arms_of, check_arms, check_problem
from jasgd.experiments.conclusions import counted, held_against
from jasgd.experiments.measures import Spread, measures, shown_row, spread
from jasgd.experiments.recipe import transformation
from jasgd.inputs.checks import function, several
from jasgd.record.result import Outcome, TrainResult
from jasgd.rules.damping import computed_constant
from jasgd.rules.parsing import parse_rule
from jasgd.schemes import SchemeFactory
from jasgd.showing import Shown, tally
from jasgd.training.interrupts import Interrupts
from jasgd.training.options import check_options
from jasgd.training.progress import Progress
from jasgd.training.trainer import train


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

    Seeds are the outer loop, so that a machine which gets slower meanwhile does so for every arm. The arms take turns
    in coming first, but a control comes after the arm that it is the control of. Ctrl-C ends the comparison; the runs
    until then are returned.

    Args:
      problem: a function from a seed to an object with name, loss_fn, params, batches and evaluate, and with
        model_state and merge where the loss needs them, see :func:`jasgd.train`; for instance
        ``lambda seed: problems.load("digits", "mlp", seed=seed)``.
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
      law: an empty law or its text, for the rules that do not bring their own.
      evaluate_every_s: seconds between evaluations.
      on_progress: called as ``on_progress(arm, seed, progress)``.
      on_result: called as ``on_result(arm, seed, result)`` after every run.

    Returns:
      The comparison, with every run in it, also those that failed or diverged.

    Raises:
      ValueError: for arms, seeds or options that cannot work, before anything is trained.
      TypeError: for a law that is none, likewise.

    Example:
      >>> from jasgd import problems
      >>> comparison = compare(lambda seed: problems.load("digits", seed=seed), ["constant", "tail"], [0], workers=1,
      ...                learning_rate=0.05, steps=3)
      >>> [row["arm"] for row in comparison.rows], comparison.runs["tail"][0].outcome == "finished"
      (['constant', 'tail'], True)
    """
    check_problem(problem)
    chosen, seeds = arms_of(arms), several("seeds", seeds)
    check_arms(chosen, seeds)
    seeds = tuple(int(seed) for seed in seeds)
    factory = check_options(
        scheme=scheme,
        workers=workers,
        steps=steps,
        time_limit_s=time_limit_s,
        target_loss=target_loss,
        evaluate_every_s=evaluate_every_s,
    )
    function("on_progress", on_progress, "arm, seed, progress", optional=True)
    function("on_result", on_result, "arm, seed, result", optional=True)

    def make(rule: rules.Rule) -> optax.GradientTransformationExtraArgs:
        other = law if getattr(rule, "law", None) is None else None
        return transformation(rule, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer, law=other)

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
    name, stopped = "", False
    with Interrupts() as interrupts:
        try:
            for arm, seed in _in_turn(chosen, seeds):
                rule = parse_rule(arm.rule, workers=workers, learning_rate=learning_rate)
                if arm.rule == BASELINE:
                    factor = 1.0 if arm.mean_of is None else runs[arm.mean_of][seed].metrics["mean_factor"]
                    if not math.isfinite(factor):  # not one gradient was applied in the arm that this is the control of
                        continue
                    rule = computed_constant(factor)
                with interrupts.taken():  # what comes once there is a result is held until that was saved
                    task = problem(seed)
                    name = task.name
                    result = train(
                        task.loss_fn,
                        task.params,
                        make(rule),
                        task.batches,
                        scheme=factory,
                        workers=workers,
                        steps=steps,
                        time_limit_s=time_limit_s,
                        target_loss=target_loss,
                        evaluate=task.evaluate,
                        evaluate_every_s=evaluate_every_s,
                        model_state=getattr(task, "model_state", None),
                        merge=getattr(task, "merge", None),
                        throw=False,
                        on_progress=None if on_progress is None else functools.partial(on_progress, arm, seed),
                        seed=seed,
                    )
                runs[arm.label][seed] = result
                if on_result is not None:
                    on_result(arm, seed, result)
                if result.interrupted:
                    break
        except KeyboardInterrupt:  # between two runs, or while one was prepared
            if not any(runs.values()):
                raise
            stopped = True
    stopped |= interrupts.held > 0 or any(result.interrupted for of_arm in runs.values() for result in of_arm.values())
    return Comparison(name, chosen, seeds, settings, runs, stopped)


def _in_turn(arms: tuple[Arm, ...], seeds: tuple[int, ...]) -> Iterator[tuple[Arm, int]]:
    for index, seed in enumerate(seeds):
        first = index % len(arms)
        for arm in sorted(arms[first:] + arms[:first], key=lambda arm: arm.mean_of is not None):
            yield arm, seed


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """The runs of a comparison.

    Attributes:
      problem: name of the training problem.
      arms: the arms that were compared.
      seeds: the seeds that each arm was run with.
      settings: the options that all runs share.
      runs: the results, by label of the arm and by seed; a run that Ctrl-C prevented is missing.
      stopped: whether Ctrl-C ended the comparison.
    """

    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    runs: dict[str, dict[int, TrainResult]]
    stopped: bool = False

    def _facts(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "arms": [arm.label for arm in self.arms],
            "seeds": self.seeds,
            "workers": self.settings.get("workers"),
            "scheme": self.settings.get("scheme"),
            "outcomes": tally(run.outcome for by_seed in self.runs.values() for run in by_seed.values()),
            "stopped": self.stopped or None,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [shown_row(row) for row in self.rows]

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

        Every rule is compared with the constant step, and with its control where there is one: by the updates to the
        least share of the initial loss that all runs of both have reached, or else by the final training loss.
        """
        rows = {row["arm"]: row for row in self.rows if "final_loss" in row}
        controls = {arm.mean_of: arm.label for arm in self.arms if arm.mean_of is not None}
        sentences, claims = [], []
        for arm in self.arms:
            if arm.mean_of is None and arm.label != BASELINE and arm.label in rows:
                for other in (BASELINE, controls.get(arm.label, "")):
                    if other in rows:
                        sentence, ways = held_against(rows[arm.label], rows[other])
                        sentences.append(sentence)
                        claims += [] if ways is None else [ways]
        where = f"On {self.problem} with {counted(self.settings['workers'], 'worker')}, {self.settings['scheme']}"
        if not sentences:
            return f"{where}: nothing to compare, as no rule was run beside {BASELINE} or a control."
        runs = max(row["final_loss"].runs for row in rows.values())
        if claims:
            sentences.append(f"over {runs} seeds, ranges lie apart by chance alone in 1 of {min(claims)}")
        elif runs == 1:
            sentences.append("one seed cannot tell a difference from chance")
        return f"{where}: {'; '.join(sentences)}."

    def record(self) -> dict[str, Any]:
        """Everything but parameters and executions, as values that :func:`jasgd.record.trees.to_json` takes."""
        table = [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in self.rows]
        runs = [
            {"arm": label, "seed": seed, "outcome": str(r.outcome), "message": r.message, "metrics": r.metrics}
            for label, by_seed in self.runs.items()
            for seed, r in by_seed.items()
        ]
        summary = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        return summary | {"table": table, "runs": runs}
