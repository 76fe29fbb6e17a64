"""Options that several commands have."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import sys
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from jasgd.inputs.checks import integer, key_seed
from jasgd.inputs.defaults import WORKERS

with contextlib.suppress(ImportError):  # main says that it is missing; nothing but tyro reads the annotations
    from tyro.conf import arg

STEPS = 1500  # where no stop condition is given
STOPS = ("steps", "epochs", "time_limit_s", "target_loss")


@dataclasses.dataclass(kw_only=True)
class ProblemOptions:
    """Options that choose the training problem."""

    dataset: str = "digits"
    """Data set: digits, mnist, fashion_mnist or cifar10; from files of yours also emnist:split=letters, kmnist, qmnist,
    cifar100:labels=coarse, or idx for IDX files of your own."""
    model: str = "mlp"
    """Network: mlp, lenet or lenet5."""
    batch_size: int = 32
    """Images in a mini-batch."""
    preset: Literal["published"] | None = None
    """Settings of the published experiments: their pixels, initial parameters and order of mini-batches, and, where you
    give none, their learning rate and batch size; but on CIFAR-10 the rate 0.05 and 6,000 updates, since with the
    published 0.005 the loss stays at 2.30 for 30,000."""
    data_dir: Path | None = None
    """Folder that has the data set; by default $JASGD_DATA_DIR, the cache and the system's folder are searched."""
    download: bool = True
    """Whether a data set that is nowhere on this machine is downloaded."""
    test_examples: int | None = None
    """Number of test images that evaluation uses, from the first on; by default all."""
    given: ClassVar[frozenset[str] | None] = None  # which options were written, None where that is not known

    def check_problem(self, seed: int) -> None:
        """Raises the ValueError of a number out of its range before a data set is looked for."""
        integer("batch_size", self.batch_size, 1)
        key_seed(seed)
        if self.test_examples is not None:
            integer("test_examples", self.test_examples, 1)

    def problem(self, seed: int) -> Any:
        """The training problem, with the initial parameters and mini-batches of a seed."""
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


@dataclasses.dataclass(kw_only=True)
class OutputOptions:
    """Options of where results go."""

    out: Path | None = None
    """Folder to write the results into; by default runs/COMMAND-TIME."""
    overwrite: bool = False
    """Whether results that are in the folder already are replaced, once the new ones are there."""
    plots: bool = True
    """Whether to draw plots, as PNG files in the folder of the results."""
    json: bool = False
    """Print one JSON object instead of tables, for scripts."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Show no progress and no hints, but results and errors alone."""

    def hint(self, text: str) -> None:
        """Says on standard error what may help, unless only results are wanted."""
        if not self.quiet:
            with contextlib.suppress(OSError, ValueError):  # where nobody reads it
                print(text, file=sys.stderr)

    def require_plots(self) -> None:
        """Raises the ImportError of a missing extra before anything is trained; what is there is imported later."""
        if self.plots and importlib.util.find_spec("matplotlib") is None:
            from jasgd.presenting.pictures.style import style_of

            with style_of("light", "column").applied():
                pass

    def folder(self, command: str) -> Path:
        """The folder of the results, which may be saved into; FileExistsError before anything is computed if not."""
        from jasgd.record.saving.folder import check_free

        if self.out is not None:
            check_free(self.out, overwrite=self.overwrite)
            return self.out
        name = Path("runs") / time.strftime(f"{command}-%Y%m%d-%H%M%S")
        numbered = (name.with_name(f"{name.name}-{i}") for i in itertools.count(2))  # two may start in one second
        return next(path for path in itertools.chain([name], numbered) if not path.exists())


@dataclasses.dataclass(kw_only=True)
class TrainingOptions(OutputOptions, ProblemOptions):
    """Options of training with threads, which ``train`` and ``compare`` share."""

    scheme: str = "leashed"
    """Scheme by which workers share parameters: sequential, synchronous, locked, hogwild or leashed, with options as in
    leashed:persistence=3."""
    workers: int = WORKERS
    """Number of threads that compute gradients."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimizer: with sgd C(τ) scales the gradient, with adam the step."""
    learning_rate: float = 0.07
    """Learning rate, which C(τ) multiplies."""
    momentum: float = 0.0
    """Momentum of SGD, 0 for none."""
    law: str | None = None
    """How the staleness distribution is measured: window:length=1024, decay:half_life=512, or cumulative."""
    steps: int | None = None
    """Commits after which a run ends; 1500 where no stop condition is given."""
    epochs: int | None = None
    """Passes over the training images after which a run ends."""
    accumulate: int = 1
    """Mini-batches of one gradient, whose mean is one commit."""
    time_limit_s: float | None = None
    """Seconds after which a run ends."""
    target_loss: float | None = None
    """Test loss at which a run ends."""
    evaluate_every_s: float | None = None
    """Seconds between evaluations on the test set, which run while the workers go on; 1 where neither this nor
    evaluate-every-steps is given."""
    evaluate_every_steps: int | None = None
    """Commits between evaluations on the test set; where both are given, whichever comes first."""

    def check_run(self) -> Any:
        """What makes the scheme; raises the ValueError of an option that cannot work before anything is loaded."""
        from jasgd.training.options import check_options

        return check_options(
            scheme=self.scheme, workers=self.workers, accumulate=self.accumulate, **self.evaluations(), **self.stops()
        )

    def evaluations(self) -> dict[str, Any]:
        """When to evaluate, by name."""
        return {"evaluate_every_s": self.evaluate_every_s, "evaluate_every_steps": self.evaluate_every_steps}

    def stops(self) -> dict[str, Any]:
        """The stop conditions, by name."""
        stops = {name: getattr(self, name) for name in STOPS}
        return stops if self.has_stop() else stops | {"steps": STEPS}

    def has_stop(self) -> bool:
        """Whether a stop condition was given."""
        return any(getattr(self, name) is not None for name in STOPS)
