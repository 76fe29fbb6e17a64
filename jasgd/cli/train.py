"""``jasgd train``: trains one model once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import threading
from pathlib import Path
from typing import ClassVar

from jasgd.cli.options import TrainingOptions
from jasgd.cli.output import LEAVING, command_of, draw, exit_code, print_files, print_lines, stdout, write_json
from jasgd.cli.presets import take_preset
from jasgd.cli.resumption import GoingOn, checkpoints_of, resumed, said, settings_of


@dataclasses.dataclass(kw_only=True)
class Train(TrainingOptions):
    """Train one model with asynchronous SGD, and report its loss and its staleness."""

    rule: str = "tail"
    """Step-size function, with options as in exponential:beta=0.1,normalized=true."""
    engine: str = "threads"
    """Who makes the workers work: threads of this process, or ray, with options as in
    ray:address=auto,cpus_per_worker=2; see docs/ray.md."""
    seed: int = 0
    """Seed of the initial parameters and of the order of mini-batches."""
    checkpoint_every_s: float | None = None
    """Seconds between saves of a run that goes on, into the folder checkpoints within that of the results."""
    checkpoint_every_steps: int | None = None
    """Commits between saves of a run that goes on; where both are given, whichever comes first."""
    keep: int = 2
    """Number of checkpoints that are kept, the newest."""
    resume: Path | None = None
    """Folder of a run that was killed, stopped or finished, to go on with; with a new one the run begins there."""
    going_on: ClassVar[GoingOn | None] = None

    def run(self) -> int:
        """Trains, writes the run folder, prints a table."""
        from jasgd.distances.table import parse_step_rule
        from jasgd.experiments.recipe import Recipe, transformation
        from jasgd.staleness import parse_law
        from jasgd.training.engines.choice import as_engine
        from jasgd.training.interrupts import Interrupts
        from jasgd.training.trainer import train

        if self.resume is not None:
            return resumed(self).run()
        if self.going_on is None:
            take_preset(self, "learning_rate")
        folder = self.folder("train") if self.going_on is None else self.going_on.folder
        checkpoints = checkpoints_of(self, folder)
        self.check_problem(self.seed)
        scheme, engine = self.check_run(), as_engine(self.engine)
        rule_workers = self.workers if self.going_on is None else self.going_on.rule_workers
        rule = parse_step_rule(self.rule, workers=rule_workers, learning_rate=self.learning_rate)
        law = None if self.law is None else parse_law(self.law)
        tx = transformation(
            rule, learning_rate=self.learning_rate, momentum=self.momentum, optimizer=self.optimizer, law=law
        )
        self.require_plots()
        from jasgd import schemes
        from jasgd.callbacks import Progress
        from jasgd.record.saving.folder import adding, replacing

        stops = self.stops()
        with Interrupts(LEAVING) as interrupts:
            overwrite = self.overwrite or self.going_on is not None
            with replacing(folder, kind="run", overwrite=overwrite, keep=True) as draft:
                with (
                    interrupts.taken(),
                    said(self.quiet),
                ):  # and once there is a result, it is held until that was saved
                    problem = self.problem(self.seed)  # which takes seconds, so all else that can fail comes before
                    # The bar pulses while the model is compiled.
                    with contextlib.nullcontext() if self.quiet else Progress(problem.name) as progress:
                        result = train(
                            problem.loss_fn,
                            problem.params,
                            tx,
                            problem.batches,
                            scheme=scheme,
                            workers=self.workers,
                            accumulate=self.accumulate,
                            evaluate=problem.evaluate,
                            **self.evaluations(),
                            throw=False,
                            callbacks=[] if progress is None else [progress],
                            checkpoint=checkpoints,
                            resume=None if self.going_on is None else self.going_on.begin,
                            sigterm=threading.current_thread() is threading.main_thread(),
                            engine=engine,
                            seed=self.seed,
                            **stops,
                        )
                result.write(draft)
                Recipe.of(self, workers=rule_workers).write(draft)
            from jasgd import report  # with SciPy and Matplotlib, which training does not need
            from jasgd.fits import fit
            from jasgd.report.tables import run_table

            fits = fit(result.law) if len(result.execution) else []
            if not self.json:
                title = f"{problem.name}, {schemes.describe(scheme)}, {self.workers} workers, {self.rule}"
                stdout().print(run_table(result, title, fits))
            numbers = {
                "command": command_of("train", self),
                "outcome": str(result.outcome),
                "message": result.message,
                "settings": settings_of(self),
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
            print_lines(text)
        else:
            print_files(folder, plots.files)
            if result.traceback:
                sys.stderr.write(result.traceback)
        return exit_code([str(result.outcome)], interrupted=result.interrupted)
