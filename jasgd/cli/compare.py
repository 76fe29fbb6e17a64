"""``jasgd compare``: trains with several step-size functions and seeds."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

from jasgd.cli.options import TrainingOptions
from jasgd.cli.output import (
    LEAVING,
    command_of,
    draw,
    exit_code,
    print_files,
    print_lines,
    print_text,
    stdout,
    write_json,
)
from jasgd.cli.presets import take_preset


@dataclasses.dataclass(kw_only=True)
class Compare(TrainingOptions):
    """Train with several step-size functions and seeds, so that nothing else differs."""

    arms: tuple[str, ...] = ("constant", "tail", "tail:cdf=strict")
    """Step-size functions; constant@RULE is the control of RULE, a constant step of the mean length it took, and is
    added by itself where a claim can be made."""
    seeds: tuple[int, ...] = tuple(range(8))
    """Seeds; every step-size function is trained once with each. With fewer than six no difference can be claimed."""

    def run(self) -> int:
        """Trains every arm with every seed, writes the run folder, prints the table and its conclusions."""
        from jasgd.experiments.arms import BASELINE, Arm, check_arms, with_controls
        from jasgd.experiments.comparison import compare
        from jasgd.experiments.recipe import Recipe
        from jasgd.staleness import parse_law

        take_preset(self, "learning_rate")
        folder = self.folder("compare")
        arms = [Arm.parse(arm) for arm in self.arms]
        check_arms(arms, self.seeds)
        arms = with_controls(arms, self.seeds)
        self.check_problem(self.seeds[0])
        self.check_run()
        law = None if self.law is None else parse_law(self.law)
        self.require_plots()
        from jasgd import report
        from jasgd.callbacks.bars import EVERY_S, TrainingBar, no_console, standard_error
        from jasgd.record.saving.gathering import gathering
        from jasgd.report.tables import comparison_table
        from jasgd.training.interrupts import Interrupts

        runs, stops = len(arms) * len(self.seeds), self.stops()
        console = no_console() if self.quiet else standard_error()
        limits = {"steps": stops["steps"], "time_limit_s": self.time_limit_s}
        bar = TrainingBar(console, runs=runs, every_s=EVERY_S, **limits)
        means: dict[tuple[str, int], float] = {}  # E[C] by arm and seed, which controls take
        with Interrupts(LEAVING) as interrupts, gathering(folder, overwrite=self.overwrite) as collection:

            def finish(arm: Arm, seed: int, result: Any) -> None:
                bar.finish(f"{arm.label}, seed {seed}", result)
                means[arm.label, seed] = result.metrics["mean_factor"]
                constant = None if arm.rule != BASELINE else 1.0 if arm.mean_of is None else means[arm.mean_of, seed]
                label = re.sub(r"[^\w.=@,-]", "_", arm.label)
                with collection.replacing(f"{label}/seed-{seed}", kind="run") as draft:
                    result.write(draft)
                    Recipe.of(self, rule=arm.rule, seed=seed, constant=constant).write(draft)

            with interrupts.taken(), bar:
                comparison = compare(
                    functools.lru_cache(maxsize=1)(self.problem),  # which all arms of a seed have
                    arms,
                    self.seeds,
                    workers=self.workers,
                    accumulate=self.accumulate,
                    learning_rate=self.learning_rate,
                    scheme=self.scheme,
                    momentum=self.momentum,
                    optimizer=self.optimizer,
                    law=law,
                    **self.evaluations(),
                    on_progress=lambda arm, seed, progress: bar.show(f"{arm.label}, seed {seed}", progress),
                    on_result=finish,
                    **stops,
                )
            with collection.sealing(kind="comparison") as draft:
                drawing = functools.partial(report.plot_comparison, comparison) if self.plots else None
                plots = draw(drawing, draft, interrupts)
                record = {"command": command_of("compare", self)} | comparison.record()
                text = write_json(record, draft, folder, "comparison.json", plots.files)
        plots.require(interrupts, f"the runs until then are in {folder}")
        if self.json:
            print_lines(text)
        else:
            console = stdout()
            console.print(comparison_table(comparison))
            print_text(comparison.reading(), console)
            print_files(folder, plots.files)
        outcomes = [str(r.outcome) for by_seed in comparison.runs.values() for r in by_seed.values()]
        # That a step size diverges is a finding of a comparison, not a failure of it.
        return exit_code([o for o in outcomes if o != "diverged"], interrupted=comparison.stopped)
