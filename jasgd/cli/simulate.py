"""``jasgd simulate``: trains on simulated clusters."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jasgd.cli.options import OutputOptions, ProblemOptions
from jasgd.cli.output import (
    LEAVING,
    SUCCEEDED,
    Plots,
    command_of,
    draw,
    print_files,
    print_lines,
    print_text,
    stdout,
    write_json,
)
from jasgd.cli.presets import take_preset
from jasgd.inputs.checks import integer
from jasgd.inputs.defaults import WORKER_COUNTS

if TYPE_CHECKING:
    from jasgd.cluster import Cluster
    from jasgd.record.saving.folder import Draft
    from jasgd.report.progress_bars import SimulationBar
    from jasgd.training.interrupts import Interrupts


@dataclasses.dataclass(kw_only=True)
class Simulate(OutputOptions, ProblemOptions):
    """Train on simulated clusters, with as many workers as you like, to compare step-size functions at each number.

    Durations are numbers of seconds, or laws such as exponential:mean_s=0.01, gamma:mean_s=0.01,shape=4,
    lognormal:mean_s=0.01,sigma=0.5.
    """

    arms: tuple[str, ...] = ("constant", "tail", "inverse")
    """Step-size functions; constant@RULE is the control of RULE, a constant step of the mean length it took, and is
    added by itself where a claim can be made."""
    workers: tuple[int, ...] = WORKER_COUNTS
    """Numbers of workers, each of which is simulated."""
    scheme: str = "leashed"
    """Scheme by which workers share parameters, with options: sequential, synchronous, locked, hogwild, leashed,
    bounded_staleness:slack=1 or k_of_n:k=8."""
    compute: str = "gamma:mean_s=0.01,shape=4"
    """Duration of computing a gradient, in seconds or as a law."""
    batch: str = "0"
    """Duration of drawing a mini-batch, in seconds or as a law."""
    read: str = "0"
    """Duration of reading the parameters, in seconds or as a law."""
    commit: str = "0"
    """Duration of applying a gradient, in seconds or as a law."""
    speeds: tuple[str, ...] = ("equal", "lognormal:sigma=0.7")
    """Distributions of the workers' speeds, equal or a law of mean 1; each makes a cluster of its own."""
    stragglers: str | None = None
    """Gradients that take longer, as in probability=0.01,slowdown=10."""
    pauses: str | None = None
    """Interruptions of computing, as in every_s=1,duration_s=0.1."""
    joins: str | None = None
    """Workers that begin later, as in 3=1.5,4=2: worker=seconds."""
    leaves: str | None = None
    """Workers that leave before the end, as in 3=1.5,4=2: worker=seconds."""
    cores: int | None = None
    """Number of processors that the workers share; by default each has one."""
    nodes: str | None = None
    """NUMA nodes, as in count=2,remote=1.5: reads and commits from another node take so many times as long."""
    steps: int = 800
    """Number of commits of each run."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Seeds that step-size functions are judged on, each with its own times, initial parameters and mini-batches; with
    fewer than six no difference can be claimed."""
    learning_rates: tuple[float, ...] = (0.00125, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
    """Learning rates to try; each step-size function is judged with its best at each number of workers."""
    tuning_seeds: tuple[int, ...] | None = None
    """Other seeds, on which the learning rates are chosen; by default the four that follow the largest of the seeds."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimizer: with sgd C(τ) scales the gradient, with adam the step."""
    momentum: float = 0.0
    """Momentum of SGD, 0 for none."""
    law: str | None = None
    """How the staleness distribution is measured; by default window:length=1024."""
    evaluate: bool = False
    """Whether to evaluate on the test set at the start and the end of each run."""
    train: bool = True
    """Whether to train; else only the times of reads and commits are simulated, and the staleness is reported."""

    def run(self) -> int:
        """Simulates, writes the run folder, prints tables."""
        from jasgd.record.saving.folder import replacing
        from jasgd.training.interrupts import Interrupts

        if self.train:
            take_preset(self, "learning_rates")
        folder, kind = self.folder("simulate"), "spectrum" if self.train else "executions"
        clusters = {speeds: self._cluster(speeds) for speeds in self.speeds}
        if len(clusters) < len(self.speeds):
            raise ValueError(f"speeds must be given once each, got {', '.join(self.speeds)}")
        if self.train:
            self.check_problem(min(self.seeds, default=0))
        self.require_plots()
        interrupts = Interrupts(LEAVING)
        with interrupts, replacing(folder, kind=kind, overwrite=self.overwrite, keep=True) as draft:
            simulated = self._train if self.train else self._generate
            plots, show = simulated(clusters, folder, draft, interrupts)
        plots.require(interrupts, f"the results are in {folder}")
        show()
        return SUCCEEDED  # that a step size diverges is a finding

    def _cluster(self, speeds: str) -> Cluster:
        from jasgd.cluster import Cluster

        options: dict[str, Any] = {
            "compute_s": self.compute,
            "batch_s": self.batch,
            "read_s": self.read,
            "commit_s": self.commit,
            "speeds": speeds,
            "stragglers": self.stragglers,
            "pauses": self.pauses,
            "joins_s": self.joins or {},
            "leaves_s": self.leaves or {},
            "cores": self.cores,
            "nodes": self.nodes,
        }
        return Cluster(**options)

    def _train(
        self, clusters: dict[str, Cluster], folder: Path, draft: Draft, interrupts: Interrupts
    ) -> tuple[Plots, Callable[[], None]]:
        from jasgd import report
        from jasgd.experiments.loss_curves import Collected
        from jasgd.experiments.sweeping import sweep
        from jasgd.report.tables import spectrum_table
        from jasgd.staleness import parse_law

        collected = Collected(integer("steps", self.steps, 1))
        with self._bar("updates") as bar, interrupts.taken():
            spectrum = sweep(
                self.problem,
                self.arms,
                self.seeds,
                workers=self.workers,
                clusters=clusters,
                learning_rates=self.learning_rates,
                tuning_seeds=self.tuning_seeds,
                steps=self.steps,
                scheme=self.scheme,
                momentum=self.momentum,
                optimizer=self.optimizer,
                law=None if self.law is None else parse_law(self.law),
                evaluate=self.evaluate,
                on_progress=bar.show,
                on_result=collected.add,
            )
        plots = draw(functools.partial(report.plot_spectrum, spectrum) if self.plots else None, draft, interrupts)
        collected.curves().write(draft)
        record = {"command": command_of("simulate", self)} | spectrum.record()
        text = write_json(record, draft, folder, "spectrum.json", plots.files)

        def show() -> None:
            if self.json:
                print_lines(text)
                return
            console = stdout()
            for label in clusters:
                console.print(spectrum_table(spectrum, label))
            print_text(spectrum.reading(), console)
            print_files(folder, plots.files)

        return plots, show

    def _generate(
        self, clusters: dict[str, Cluster], folder: Path, draft: Draft, interrupts: Interrupts
    ) -> tuple[Plots, Callable[[], None]]:
        from jasgd.experiments.measures import execution_numbers
        from jasgd.report.tables import executions_table

        rows, total = [], len(clusters) * len(self.workers) * len(self.seeds)
        with self._bar("executions") as bar, interrupts.taken():
            for label, count, seed, execution in self._executions(clusters):
                name = re.sub(r"[^\w.=,-]", "_", label)
                path = draft.path / name / f"workers-{count}" / f"seed-{seed}.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                execution.save(path)
                rows.append({"cluster": label, "workers": count, "seed": seed} | execution_numbers(execution))
                bar.show(len(rows), total)
        text = write_json({"executions": rows, "scheme": self.scheme}, draft, folder, "executions.json", [])

        def show() -> None:
            if self.json:
                print_lines(text)
                return
            stdout().print(executions_table(rows))
            print_files(folder, [])

        return Plots([]), show

    def _bar(self, unit: str) -> SimulationBar:
        from jasgd.callbacks.bars import no_console, standard_error
        from jasgd.report.progress_bars import SimulationBar

        return SimulationBar(no_console() if self.quiet else standard_error(), unit)

    def _executions(self, clusters: dict[str, Cluster]) -> Iterator[tuple[str, int, int, Any]]:
        from jasgd.cluster import generate

        for label, cluster in clusters.items():
            for count in self.workers:
                for seed in self.seeds:
                    yield (
                        label,
                        count,
                        seed,
                        generate(cluster, scheme=self.scheme, workers=count, steps=self.steps, seed=seed),
                    )
