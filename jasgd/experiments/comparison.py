"""``compare``: runs that differ in the step-size function only, over several seeds, and conclusions from them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import optax

from jasgd import rules, schemes
from jasgd.callbacks.recent_progress import Progress
from jasgd.distances.table import parse_step_rule
from jasgd.experiments.arms import BASELINE, Arm, arms_of, check_arms, check_problem, with_controls
from jasgd.experiments.conclusions import Conclusion, conclude, sentences
from jasgd.experiments.measures import FACTORS, Spread, measures, shown_row, spread
from jasgd.experiments.recipe import transformation
from jasgd.inputs.checks import function, several
from jasgd.inputs.defaults import WORKERS
from jasgd.record.result import Outcome, TrainResult
from jasgd.rules.damping import computed_constant
from jasgd.schemes import SchemeFactory
from jasgd.showing import Shown, counted, tally
from jasgd.training.interrupts import Interrupts
from jasgd.training.options import check_options
from jasgd.training.trainer import train


def compare(
    problem: Callable[[int], Any],
    arms: Sequence[str | Arm],
    seeds: Sequence[int],
    *,
    workers: int = WORKERS,
    learning_rate: float,
    scheme: str | SchemeFactory = "leashed",
    steps: int | None = None,
    epochs: int | None = None,
    time_limit_s: float | None = None,
    target_loss: float | None = None,
    momentum: float = 0.0,
    optimizer: Literal["sgd", "adam"] = "sgd",
    law: Any = None,
    evaluate_every_s: float | None = None,
    evaluate_every_steps: int | None = None,
    on_progress: Callable[[Arm, int, Progress], None] | None = None,
    on_result: Callable[[Arm, int, TrainResult], None] | None = None,
) -> Comparison:
    """Trains every arm with every seed, so that nothing but the rule differs.

    Seeds are the outer loop, so that a machine which gets slower meanwhile does so for every arm. The arms take turns
    in coming first, but a control comes after the arm that it is the control of. With six seeds or more and the
    constant step among the arms, each rule's control is added, since no claim is made without it. Ctrl-C ends the
    comparison; the runs until then are returned.

    Args:
      problem: a function from a seed to an object with name, loss_fn, params, batches and evaluate, and with
        model_state and merge where the loss needs them, see :func:`jasgd.train`; for instance
        ``lambda seed: problems.load("digits", "mlp", seed=seed)``.
      arms: the rules, see :meth:`Arm.parse`; each once.
      seeds: integers ≥ 0; each once; with fewer than six no difference can be claimed.
      workers: number of workers, ≥ 1.
      learning_rate: > 0.
      scheme: see :func:`jasgd.train`, as are the four stop conditions and when to evaluate.
      steps: commits after which a run ends.
      epochs: passes over the batches after which a run ends.
      time_limit_s: seconds after which a run ends.
      target_loss: test loss at which a run ends.
      momentum: see :func:`transformation`, as is ``optimizer``.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law or its text, for the rules that do not bring their own.
      evaluate_every_s: seconds between evaluations.
      evaluate_every_steps: commits between evaluations.
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
    chosen = with_controls(chosen, seeds)
    factory = check_options(
        scheme=scheme,
        workers=workers,
        steps=steps,
        epochs=epochs,
        time_limit_s=time_limit_s,
        target_loss=target_loss,
        evaluate_every_s=evaluate_every_s,
        evaluate_every_steps=evaluate_every_steps,
    )
    function("on_progress", on_progress, "arm, seed, progress", optional=True)
    function("on_result", on_result, "arm, seed, result", optional=True)

    def make(rule: rules.Rule) -> optax.GradientTransformationExtraArgs:
        other = law if getattr(rule, "law", None) is None else None
        return transformation(rule, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer, law=other)

    for arm in chosen:
        make(parse_step_rule(arm.rule, workers=workers, learning_rate=learning_rate))
    settings = {
        "scheme": schemes.describe(factory),
        "workers": workers,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "optimizer": optimizer,
        "steps": steps,
        "epochs": epochs,
        "time_limit_s": time_limit_s,
        "target_loss": target_loss,
    }
    runs: dict[str, dict[int, TrainResult]] = {arm.label: {} for arm in chosen}
    name, stopped = "", False
    with Interrupts() as interrupts:
        try:
            for arm, seed in _in_turn(chosen, seeds):
                rule = parse_step_rule(arm.rule, workers=workers, learning_rate=learning_rate)
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
                        epochs=epochs,
                        time_limit_s=time_limit_s,
                        target_loss=target_loss,
                        evaluate=task.evaluate,
                        evaluate_every_s=evaluate_every_s,
                        evaluate_every_steps=evaluate_every_steps,
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

    def runs_by_label(self) -> dict[str, list[TrainResult]]:
        """The results by label of the arm, for pictures of runs."""
        return {arm.label: list(self.runs.get(arm.label, {}).values()) for arm in self.arms}

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

    @functools.cached_property
    def conclusions(self) -> list[Conclusion]:
        """How each rule did beside the constant step, see :func:`jasgd.experiments.conclusions.conclude`.

        What is compared is the final training loss; with a target loss it is the number of updates until that was
        reached, which is infinite for a run that ended otherwise.
        """
        targeted = self.settings.get("target_loss") is not None
        values = {
            label: {seed: _updates(run) if targeted else measures(run)["final_loss"] for seed, run in by_seed.items()}
            for label, by_seed in self.runs.items()
        }
        return conclude(values, self.arms)

    def reading(self) -> str:
        """The conclusions in sentences, one or two a line: a verdict per rule, what pairs share, and the power."""
        where = f"On {self.problem} with {counted(self.settings['workers'], 'worker')}, {self.settings['scheme']}"
        if not self.conclusions:
            return f"{where}: nothing to compare, as no rule was run beside {BASELINE}."
        rate, targeted = self.settings.get("learning_rate"), self.settings.get("target_loss") is not None
        lines = sentences(
            self.conclusions,
            what="number of updates to the target loss" if targeted else "final training loss",
            lost="did not reach it" if targeted else "diverged",
            factors={row["arm"]: tuple(row[name].median for name in FACTORS) for row in self.rows if FACTORS[0] in row},
            shared="The two runs of a pair share mini-batches and initial parameters, but not the execution: which "
            "gradients were stale, the machine decided in each anew."
            + ("" if rate is None else f" All took the learning rate {rate:g}, which was tuned for none."),
            staleness={
                label: {seed: measures(run)["staleness_mean"] for seed, run in by_seed.items()}
                for label, by_seed in self.runs.items()
            },
        )
        return "\n".join([f"{where}: {lines[0]}", *lines[1:]])

    def record(self) -> dict[str, Any]:
        """Everything but parameters and executions, as values that :func:`jasgd.record.trees.to_json` takes."""
        table = [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in self.rows]
        runs = [
            {"arm": label, "seed": seed, "outcome": str(r.outcome), "message": r.message, "metrics": r.metrics}
            for label, by_seed in self.runs.items()
            for seed, r in by_seed.items()
        ]
        summary = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        conclusions = [one.record() for one in self.conclusions]
        return summary | {"conclusions": conclusions, "table": table, "runs": runs}


def _updates(result: TrainResult) -> float:
    """The updates of a run until it reached its target loss: infinite where it never did, NaN where it was cut off."""
    if result.outcome is Outcome.CONVERGED:
        return float(result.execution.commits)
    return math.inf if result.outcome in (Outcome.FINISHED, Outcome.DIVERGED) else math.nan
