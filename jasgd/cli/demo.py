"""``jasgd demo``: in a minute, what staleness is, what it does to training, and how stale gradients are here."""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jasgd.cli.output import LEAVING, SUCCEEDED, print_lines, stdout

if TYPE_CHECKING:
    from jasgd.experiments.spectrum import Spectrum
    from jasgd.record.result import TrainResult
    from jasgd.replaying.replayer import Replay
    from jasgd.training.interrupts import Interrupts

ARMS = ("constant", "tail", "inverse")
SPEEDS = "lognormal:sigma=1.2"
COMPUTE = "gamma:mean_s=0.01,shape=4"


@dataclasses.dataclass(kw_only=True)
class Demo:
    """See in a minute what staleness is, what it does to training, and how stale gradients are on this machine."""

    out: Path = Path("runs/demo")
    """Folder for the results: simulated and threads within it, each with pictures and a page."""
    overwrite: bool = False
    """Whether results that are already in that folder are replaced."""
    simulated_workers: ClassVar[int] = 32
    simulated_steps: ClassVar[int] = 1000
    learning_rates: ClassVar[tuple[float, ...]] = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
    seeds: ClassVar[tuple[int, ...]] = tuple(range(16))
    tuning_seeds: ClassVar[tuple[int, ...]] = tuple(range(16, 24))
    threads: ClassVar[int] = 8
    steps: ClassVar[int] = 1500

    def run(self) -> int:
        """Simulates, trains with threads, replays that, draws, and prints a table and three paragraphs."""
        import jasgd
        from jasgd.record.saving.folder import check_free
        from jasgd.report.tables import spectrum_table
        from jasgd.training.interrupts import Interrupts

        simulated, threads = self.out / "simulated", self.out / "threads"
        for folder in (simulated, threads):
            check_free(folder, overwrite=self.overwrite)
        interrupts = Interrupts(LEAVING)
        with interrupts:
            spectrum = self._simulate(simulated, interrupts)
            result, replay = self._train(threads, interrupts)
            with interrupts.taken():
                pages = [jasgd.report.report_of(folder) for folder in (simulated, threads)]
        console = stdout()
        console.print(spectrum_table(spectrum, SPEEDS))
        for sentence in sentences(spectrum, result, replay):
            print_lines("\n".join(["", *textwrap.wrap(sentence, 80)]))
        for folder, page in zip((simulated, threads), pages, strict=True):
            pictures = ", ".join(file.name for file in sorted(folder.glob("*.png")))
            print_lines(
                "\n".join(["", *textwrap.wrap(f"In {folder}: {pictures}; all figures on one page in {page}.", 80)])
            )
        return SUCCEEDED

    def _simulate(self, folder: Path, interrupts: Interrupts) -> Spectrum:
        """32 workers of unequal speed, each rule at its own best learning rate; runs are kept for the pictures."""
        import jasgd
        from jasgd import problems, report
        from jasgd.callbacks.bars import standard_error
        from jasgd.cluster import generate
        from jasgd.experiments.sweeping import sweep
        from jasgd.record.saving.folder import replacing
        from jasgd.record.trees import to_json
        from jasgd.report.progress_bars import SimulationBar

        options: dict[str, Any] = {"compute_s": COMPUTE, "speeds": SPEEDS}
        cluster = jasgd.Cluster(**options)
        runs: dict[str, list[Any]] = {}

        def keep(point: Any, result: TrainResult) -> None:
            if point.seed in self.seeds:
                runs.setdefault(point.arm, []).append(result)

        with replacing(folder, kind="spectrum", overwrite=self.overwrite, keep=True) as draft, interrupts.taken():
            with SimulationBar(standard_error(), "updates") as bar:
                spectrum = sweep(
                    functools.partial(_digits, problems),
                    ARMS,
                    self.seeds,
                    workers=[self.simulated_workers],
                    clusters={SPEEDS: cluster},
                    learning_rates=self.learning_rates,
                    tuning_seeds=self.tuning_seeds,
                    steps=self.simulated_steps,
                    evaluate=True,
                    on_progress=bar.show,
                    on_result=keep,
                )
            few = generate(cluster, workers=6, steps=200, seed=1)
            arms = {arm.label: runs[arm.label] for arm in spectrum.arms if arm.label in runs}
            figures = {"timeline": report.timeline(few, width="page"), "loss": report.loss(arms, width="page")}
            report.save(figures, draft.path)
            report.plot_spectrum(spectrum, draft.path)
            draft.json("spectrum.json", to_json({"command": "jasgd demo"} | spectrum.record()))
        return spectrum

    def _train(self, folder: Path, interrupts: Interrupts) -> tuple[TrainResult, Replay]:
        """Real threads, as a check of reality."""
        import jasgd
        from jasgd import report
        from jasgd.callbacks import Progress
        from jasgd.experiments.recipe import Recipe
        from jasgd.record.saving.folder import replacing

        # Kept in the folder, so that jasgd replay and an audit know what was trained.
        what: dict[str, Any] = {"dataset": "digits", "model": "mlp", "batch_size": 32, "seed": 0, "preset": None}
        what |= {"rule": "tail", "law": None, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.0}
        recipe = Recipe(**what, data_dir=None, download=False, workers=self.threads)
        problem, tx = recipe.problem(), recipe.transformation()
        with replacing(folder, kind="run", overwrite=self.overwrite, keep=True) as draft, interrupts.taken():
            with Progress(f"{self.threads} threads") as progress:
                result = jasgd.train(
                    problem.loss_fn,
                    problem.params,
                    tx,
                    problem.batches,
                    workers=self.threads,
                    steps=self.steps,
                    callbacks=[progress],
                )
            result.write(draft)
            recipe.write(draft)
            report.plot(result, draft.path)
            replay = jasgd.replay(result, problem.loss_fn, tx, problem.batches)
        return result, replay


def _digits(problems: Any, seed: int) -> Any:
    return problems.load("digits", "mlp", batch_size=32, seed=seed)


def sentences(spectrum: Spectrum, result: TrainResult, replay: Replay) -> list[str]:
    """What the numbers say: what staleness was, what the rule did, and how stale gradients are here.

    Args:
      spectrum: the simulated runs.
      result: that of the threads.
      replay: of it.

    Returns:
      Three paragraphs.
    """
    from jasgd.experiments.conclusions import in_brief

    rows = {row["arm"]: row for row in spectrum.rows}
    tau, workers = rows["constant"]["staleness_mean"].median, max(spectrum.workers)
    fresh = float((result.execution.staleness == 0).mean())
    m = result.metrics
    same = "to the same bits" if replay.exact else "but not to the same bits"
    return [
        "A gradient's staleness τ is the number of other updates between its read of the parameters and its own "
        f"update: {workers} simulated workers of unequal speed made {tau:.0f} other updates on average. A rule "
        "multiplies the learning rate by C(τ): tail by up to 2 for the freshest gradients and nearly 0 for the "
        "stalest, inverse by 1/(1+τ); constant@RULE is a constant step of the mean that RULE took.",
        " ".join(in_brief(one) for one in spectrum.conclusions[SPEEDS]),
        f"On this machine {result.execution.workers} threads made gradients that were {m['staleness_mean']:.1f} "
        f"updates stale on average, at most {m['staleness_max']}, and {fresh:.0%} of them not at all. "
        f"The run was replayed {same}.",
    ]
