"""Options that several commands have."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

STEPS = 1500  # where no stop condition is given


@dataclasses.dataclass(kw_only=True)
class ProblemOptions:
    """What is trained."""

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


@dataclasses.dataclass(kw_only=True)
class OutputOptions:
    """Where results go."""

    out: Path | None = None
    """The run folder; by default runs/ and the command and time."""
    plots: bool = True
    """Whether to draw PNGs into the run folder."""
    json: bool = False
    """Print one JSON object instead of tables, for scripts."""

    def require_plots(self) -> None:
        """A missing extra is said before anything is trained."""
        if self.plots:
            import jasgd.report.figures  # noqa: F401

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
class Task(OutputOptions, ProblemOptions):
    """What ``train`` and ``compare`` have in common."""

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

    def stops(self) -> dict[str, Any]:
        """The stop conditions."""
        told = {"steps": self.steps, "time_limit_s": self.time_limit_s, "target_loss": self.target_loss}
        return told if any(value is not None for value in told.values()) else told | {"steps": STEPS}
