"""The command ``jasgd``: train, compare, replay, datasets. Only this module prints."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

with contextlib.suppress(ImportError):  # main says that it is missing; nothing but tyro reads the annotations
    from tyro.conf import Positional

SUCCEEDED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
STEPS = 1500  # where no stop condition is given


@dataclasses.dataclass(kw_only=True)
class Task:
    """What ``train`` and ``compare`` have in common."""

    dataset: str = "digits"
    """digits, mnist, fashion_mnist or cifar10."""
    model: str = "mlp"
    """mlp, lenet or lenet5."""
    batch_size: int = 32
    """Images per gradient."""
    preset: Literal["published"] | None = None
    """The published experiments' pixels, initial parameters and order of batches."""
    data_dir: Path | None = None
    """The folder that has the data set; by default $JASGD_DATA_DIR, the cache and the system's folder are searched."""
    download: bool = True
    """Whether a data set that is nowhere on this machine is downloaded."""
    test_examples: int | None = None
    """Test images that evaluation uses, the first ones; by default all."""
    scheme: str = "leashed"
    """sequential, synchronous, locked, hogwild or leashed, with options as in leashed:persistence=3."""
    workers: int = 8
    """Threads that compute gradients."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD scales the gradient by C(τ); Adam's steps are scaled behind it."""
    learning_rate: float = 0.07
    """The step size that C(τ) multiplies."""
    momentum: float = 0.0
    """Of SGD."""
    law: str | None = None
    """How the staleness distribution is kept: window:length=1024, decay:half_life=512, or cumulative."""
    steps: int | None = None
    """Commits after which a run ends; 1500 where no stop condition is given."""
    time_limit_s: float | None = None
    """Seconds after which a run ends."""
    target_loss: float | None = None
    """Test loss at which a run ends."""
    evaluate_every_s: float = 1.0
    """Seconds between evaluations on the test set, which go on beside the workers."""
    out: Path | None = None
    """The run folder; by default runs/ and the command and time."""
    plots: bool = True
    """Whether to draw PNGs into the run folder."""
    json: bool = False
    """Print one JSON object instead of tables, for scripts."""

    def problem(self, seed: int) -> Any:
        """The problem with a seed."""
        from jasgd import problems

        return problems.load(
            self.dataset,
            self.model,
            batch_size=self.batch_size,
            seed=seed,
            preset=self.preset,
            data_dir=self.data_dir,
            download=self.download,
            test_examples=self.test_examples,
        )

    def stops(self) -> dict[str, Any]:
        """The stop conditions."""
        told = {"steps": self.steps, "time_limit_s": self.time_limit_s, "target_loss": self.target_loss}
        return told if any(value is not None for value in told.values()) else told | {"steps": STEPS}

    def require_plots(self) -> None:
        """A missing extra is said before anything is trained."""
        if self.plots:
            import jasgd.report.plots  # noqa: F401

    @contextlib.contextmanager
    def folder(self, command: str) -> Iterator[Path]:
        """The run folder: made before anything is trained, so that a run is not lost; gone again if nothing came."""
        folder = self.out or Path("runs") / time.strftime(f"{command}-%Y%m%d-%H%M%S")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            if not any(folder.iterdir()):
                folder.rmdir()


@dataclasses.dataclass(kw_only=True)
class Train(Task):
    """Train one model with asynchronous SGD, and say what staleness did."""

    rule: str = "tail"
    """The step-size function, with options as in exponential:beta=0.1,normalized=true."""
    seed: int = 0
    """Of the initial parameters and the batches."""

    def run(self) -> int:
        """Trains, writes the run folder, tells."""
        from rich.console import Console

        from jasgd import report, schemes, train
        from jasgd.fits import fit
        from jasgd.recipe import Recipe
        from jasgd.report.live import Live
        from jasgd.report.tables import run_table
        from jasgd.specs import parse_law, parse_rule, parse_scheme, transformation

        self.require_plots()
        scheme = parse_scheme(self.scheme)
        rule = parse_rule(self.rule, workers=self.workers, learning_rate=self.learning_rate)
        law = None if self.law is None else parse_law(self.law)
        tx = transformation(
            rule, learning_rate=self.learning_rate, momentum=self.momentum, optimizer=self.optimizer, law=law
        )
        problem, stops = self.problem(self.seed), self.stops()
        live = Live(Console(stderr=True), runs=1, steps=stops["steps"], time_limit_s=self.time_limit_s)
        with self.folder("train") as folder, live:
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
                on_progress=lambda progress: live.show(problem.name, progress),
                seed=self.seed,
                **stops,
            )
            live.finish(problem.name, result)
            Recipe.of(self).save(result.save(folder))
        fits = fit(result.law) if len(result.execution) else []
        files = report.plot(result, folder) if self.plots else []
        settings = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("json", "out", "plots")
        }
        told = {
            "outcome": str(result.outcome),
            "message": result.message,
            "settings": settings | stops | {"data_dir": self.data_dir and str(self.data_dir)},
            "metrics": result.metrics,
            "evaluations": result.evaluations,
            "fits": [{"model": f.model, "parameters": f.parameters, "distance": f.distance} for f in fits],
        }
        _tell(self.json, told, folder, "metrics.json", files)
        if not self.json:
            title = f"{problem.name}, {schemes.describe(scheme)}, {self.workers} workers, {self.rule}"
            _stdout().print(run_table(result, title, fits))
            _tell_files(folder, files)
            if result.traceback:
                sys.stderr.write(result.traceback)
        return _exit_code([str(result.outcome)])


@dataclasses.dataclass(kw_only=True)
class Compare(Task):
    """Train with several step-size functions and seeds, so that nothing else differs; by default, the demo."""

    arms: tuple[str, ...] = ("constant", "tail", "tail:cdf=strict", "constant@tail:cdf=strict")
    """The step-size functions; constant@RULE is the control of RULE: a constant step of the mean length it took."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each arm runs once with each."""

    def run(self) -> int:
        """Trains every arm with every seed, writes the run folder, tells."""
        from rich.console import Console

        from jasgd import report
        from jasgd.arms import BASELINE, Arm
        from jasgd.comparison import compare
        from jasgd.recipe import Recipe
        from jasgd.report.live import Live
        from jasgd.report.tables import comparison_table
        from jasgd.specs import parse_law

        self.require_plots()
        arms = [Arm.parse(arm) for arm in self.arms]
        law = None if self.law is None else parse_law(self.law)
        runs, stops = len(arms) * len(self.seeds), self.stops()
        live = Live(Console(stderr=True), runs=runs, steps=stops["steps"], time_limit_s=self.time_limit_s)
        means: dict[tuple[str, int], float] = {}  # E[C] by arm and seed, which controls take
        with self.folder("compare") as folder, live:

            def finish(arm: Arm, seed: int, result: Any) -> None:
                live.finish(f"{arm.label}, seed {seed}", result)
                means[arm.label, seed] = result.metrics["mean_factor"]
                constant = None if arm.rule != BASELINE else 1.0 if arm.mean_of is None else means[arm.mean_of, seed]
                saved = result.save(folder / re.sub(r"[^\w.=@,-]", "_", arm.label) / f"seed-{seed}")
                Recipe.of(self, rule=arm.rule, seed=seed, constant=constant).save(saved)

            comparison = compare(
                self.problem,
                arms,
                self.seeds,
                workers=self.workers,
                learning_rate=self.learning_rate,
                scheme=self.scheme,
                momentum=self.momentum,
                optimizer=self.optimizer,
                law=law,
                evaluate_every_s=self.evaluate_every_s,
                on_progress=lambda arm, seed, progress: live.show(f"{arm.label}, seed {seed}", progress),
                on_result=finish,
                **stops,
            )
        files = report.plot_comparison(comparison, folder) if self.plots else []
        _tell(self.json, comparison.record(), folder, "comparison.json", files)
        if not self.json:
            console = _stdout()
            console.print(comparison_table(comparison))
            console.print(comparison.reading(), soft_wrap=True, highlight=False, markup=False)
            _tell_files(folder, files)
        outcomes = [str(r.outcome) for by_seed in comparison.runs.values() for r in by_seed.values()]
        # That a step size diverges is a finding of a comparison, not a failure of it.
        return INTERRUPTED if comparison.stopped else _exit_code([o for o in outcomes if o != "diverged"])


@dataclasses.dataclass(kw_only=True)
class Replay:
    """Run a recorded run again, commit by commit, and say whether it comes to the same bits."""

    folder: Positional[Path]
    """The folder of a run that train or compare wrote."""
    upto: int | None = None
    """Commits after which to stop; by default all."""
    bisect_nonfinite: bool = False
    """Find the first commit that made a number that is not finite; exit with 1 where there is one."""
    strict: bool = True
    """Whether to refuse where versions, flags, dtypes or the processor are not those of the run."""
    data_dir: Path | None = None
    """The folder that has the data set, where it is no longer where it was."""
    json: bool = False
    """Print one JSON object instead of a text, for scripts."""

    def run(self) -> int:
        """Replays and tells."""
        from jasgd import TrainResult, replayer
        from jasgd.recipe import Recipe
        from jasgd.result import to_json

        recipe = Recipe.load(self.folder)
        problem = recipe.problem(self.data_dir)
        try:
            result = TrainResult.load(self.folder, params_like=problem.params)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{self.folder} holds a file that was altered: {error}") from error
        given = result, problem.loss_fn, recipe.transformation(), problem.batches
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "this is not what the run was made with")  # told below
            if self.bisect_nonfinite:
                first = replayer.first_nonfinite(*given, upto=self.upto, strict=self.strict)
                told: dict[str, Any] = {"first_nonfinite": None if first is None else dataclasses.asdict(first)}
                text, failed = replayer.tell_nonfinite(first, result, self.upto), first is not None
            else:
                again = replayer.replay(*given, upto=self.upto, strict=self.strict)
                told = {f.name: getattr(again, f.name) for f in dataclasses.fields(again)}
                told = {key: value for key, value in told.items() if key not in ("params", "opt_state")}
                told["environment"] = [difference._asdict() for difference in again.environment]
                text, failed = again.summary(), not again.exact
        print(json.dumps(to_json({"folder": str(self.folder)} | told), indent=2) if self.json else text)
        return FAILED if failed else SUCCEEDED


@dataclasses.dataclass(kw_only=True)
class Datasets:
    """Say which data sets are on this machine, and where."""

    data_dir: Path | None = None
    """The only folder to look in; by default $JASGD_DATA_DIR, the cache and the system's folder are searched."""
    verify: bool = False
    """Read the files, and hold them against their SHA-256."""
    json: bool = False
    """Print one JSON object instead of a table, for scripts."""

    def run(self) -> int:
        """Looks and tells."""
        from rich import box
        from rich.table import Table

        from jasgd.problems.datasets import DATASETS, describe_dataset, locate

        table = Table(box=box.SIMPLE_HEAVY)
        for column in ("data set", "what", "found by", "folder", "files"):
            table.add_column(column, overflow="fold")
        told, wrong = {}, False
        for name in DATASETS:
            place = locate(name, self.data_dir, verify=self.verify)
            wrong |= any(file.status == "wrong" for file in place.files)
            told[name] = dataclasses.asdict(place) | {"title": describe_dataset(name).title}
            counts = {s: n for s in ("missing", "present", "verified", "wrong")
                      if (n := sum(file.status == s for file in place.files))}  # fmt: skip
            files = ", ".join(f"{n} {status}" for status, n in counts.items()) or "in scikit-learn's wheel"
            problems = "".join(f"\n{file.problem}" for file in place.files if file.problem)
            table.add_row(name, told[name]["title"], place.origin, str(place.folder or ""), files + problems)
        if self.json:
            print(json.dumps(told, indent=2, default=str))
        else:
            _stdout().print(table)
        return FAILED if wrong else SUCCEEDED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; ``sys.argv[1:]`` by default.

    Returns:
      0 where runs ended as they should; 1 where one failed or, in ``train``, diverged, where a replay comes to other
      bits, or a data set's files are wrong; 2 for bad input, a run that is not to be replayed here among it; 130 after
      Ctrl-C, behind which what was learned until then is written all the same.

    Example:
      >>> main(["train", "--workers", "0"])
      2
    """
    try:
        import rich  # noqa: F401
        import tyro
    except ImportError:
        return _refuse('the command line needs its extra: pip install "jasgd[cli]"')
    command = tyro.cli(
        Annotated[Train | Compare | Replay | Datasets, tyro.conf.OmitSubcommandPrefixes],
        args=argv,
        prog="jasgd",
        description="Asynchronous SGD in JAX, with a step size that adapts to measured staleness.",
    )
    try:
        from jasgd.cpu import configure_cpu, started

        if not started():  # a process that calls this function twice has it configured
            configure_cpu()
        return command.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, ImportError, OSError) as error:
        # Runs report their errors in their result, so what arrives here is about the input, or a missing extra.
        if isinstance(error, ImportError) and "pip install" not in str(error):
            raise
        return _refuse(str(error))


def _refuse(message: str) -> int:
    print(f"jasgd: {message}", file=sys.stderr)
    return BAD_INPUT


def _exit_code(outcomes: Sequence[str]) -> int:
    if "stopped" in outcomes:
        return INTERRUPTED
    return FAILED if {"failed", "diverged"} & set(outcomes) else SUCCEEDED


def _stdout() -> Any:
    from rich.console import Console

    console = Console()
    # Rich cuts tables to 80 columns where there is no terminal to ask.
    return console if console.is_terminal else Console(width=150)


def _tell(as_json: bool, told: dict[str, Any], folder: Path, name: str, files: Sequence[Path]) -> None:
    from jasgd.result import to_json

    told = told | {"folder": str(folder), "plots": [str(file) for file in files]}
    text = json.dumps(to_json(told), indent=2, allow_nan=False)
    (folder / name).write_text(text + "\n")
    if as_json:
        print(text)


def _tell_files(folder: Path, files: Sequence[Path]) -> None:
    print(f"Written to {folder}" + (f", with the plots {', '.join(file.name for file in files)}" if files else ""))
