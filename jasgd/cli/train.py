"""``jasgd train``: trains one model once."""

from __future__ import annotations

import dataclasses
import functools
import sys

from jasgd.cli.options import OutputOptions, TrainingOptions
from jasgd.cli.output import LEAVING, command_of, draw, exit_code, print_files, stdout, write_json


@dataclasses.dataclass(kw_only=True)
class Train(TrainingOptions):
    """Train one model with asynchronous SGD, and report its loss and its staleness."""

    rule: str = "tail"
    """Step-size function, with options as in exponential:beta=0.1,normalized=true."""
    seed: int = 0
    """Seed of the initial parameters and of the order of mini-batches."""

    def run(self) -> int:
        """Trains, writes the run folder, prints a table."""
        from jasgd.experiments.recipe import Recipe, transformation
        from jasgd.rules.parsing import parse_rule
        from jasgd.staleness import parse_law
        from jasgd.training.interrupts import Interrupts
        from jasgd.training.trainer import train

        folder = self.folder("train")
        self.check_problem(self.seed)
        scheme = self.check_run()
        rule = parse_rule(self.rule, workers=self.workers, learning_rate=self.learning_rate)
        law = None if self.law is None else parse_law(self.law)
        tx = transformation(
            rule, learning_rate=self.learning_rate, momentum=self.momentum, optimizer=self.optimizer, law=law
        )
        self.require_plots()
        from jasgd import report, schemes
        from jasgd.fits import fit
        from jasgd.record.saving.folder import adding, replacing
        from jasgd.report.progress_bars import TrainingBar, standard_error
        from jasgd.report.tables import run_table

        stops = self.stops()
        with Interrupts(LEAVING) as interrupts:
            with replacing(folder, kind="run", overwrite=self.overwrite, keep=True) as draft:
                with interrupts.taken():  # and once there is a result, it is held until that was saved
                    problem = self.problem(self.seed)  # which takes seconds, so all else that can fail comes before
                    bar = TrainingBar(standard_error(), runs=1, steps=stops["steps"], time_limit_s=self.time_limit_s)
                    with bar:
                        result = train(
                            problem.loss_fn,
                            problem.params,
                            tx,
                            problem.batches,
                            scheme=scheme,
                            workers=self.workers,
                            evaluate=problem.evaluate,
                            evaluate_every_s=self.evaluate_every_s,
                            throw=False,
                            on_progress=lambda progress: bar.show(problem.name, progress),
                            seed=self.seed,
                            **stops,
                        )
                        bar.finish(problem.name, result)
                result.write(draft)
                Recipe.of(self).write(draft)
            fits = fit(result.law) if len(result.execution) else []
            output = {f.name for f in dataclasses.fields(OutputOptions)}
            settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in output}
            numbers = {
                "command": command_of("train", self),
                "outcome": str(result.outcome),
                "message": result.message,
                "settings": settings | stops | {"data_dir": self.data_dir and str(self.data_dir)},
                "metrics": result.metrics,
                "evaluations": result.evaluations,
                "fits": [{"model": f.model, "parameters": f.parameters, "distance": f.distance} for f in fits],
            }
            with adding(folder) as draft:  # later, so that no picture that fails costs the run
                drawing = functools.partial(report.plot, result) if self.plots else None
                plots = draw(drawing, draft, interrupts)
                text = write_json(numbers, draft, folder, "metrics.json", plots.files)
        plots.require(interrupts, f"the run is in {folder}")
        if self.json:
            print(text)
        else:
            title = f"{problem.name}, {schemes.describe(scheme)}, {self.workers} workers, {self.rule}"
            stdout().print(run_table(result, title, fits))
            print_files(folder, plots.files)
            if result.traceback:
                sys.stderr.write(result.traceback)
        return exit_code([str(result.outcome)], interrupted=result.interrupted)
