"""Problem and optimizer of a run of the command line, saved so that ``jasgd replay`` can build them again."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

import jax
import optax

from jasgd import rules
from jasgd.distances.table import DistanceRule, parse_step_rule
from jasgd.distances.transformation import distance_adaptive
from jasgd.inputs.checks import real
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.folder import Draft
from jasgd.record.saving.manifest import SavedFolder, read_whole
from jasgd.rules.damping import computed_constant
from jasgd.staleness import parse_law
from jasgd.transforms import staleness_adaptive

FILE = "recipe.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Problem and optimizer of one run, in text and numbers.

    Attributes:
      dataset: as of :func:`jasgd.problems.load`, as are model, batch_size, seed, preset, data_dir and download.
      rule: as of :func:`jasgd.distances.table.parse_step_rule`.
      constant: the factor of a constant step that is computed when it runs, as in comparisons; None for ``rule``.
      law: as of :func:`jasgd.staleness.parse_law`, or None.
      optimizer: as of :func:`jasgd.experiments.recipe.transformation`, as are learning_rate and momentum.
      workers: number of workers, which some rules take.
    """

    dataset: str
    model: str
    batch_size: int
    seed: int
    preset: Literal["published"] | None
    data_dir: str | None
    download: bool
    rule: str
    constant: float | None = None
    law: str | None
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float
    workers: int

    @classmethod
    def of(cls, command: Any, **others: Any) -> Recipe:
        """The recipe of a command's options, and of settings that it has no option for.

        Args:
          command: has attributes of the names above.
          **others: the remaining ones, by name.

        Returns:
          The recipe.
        """
        names = {f.name for f in dataclasses.fields(cls)} - set(others) - {"constant"}
        arguments = others | {name: getattr(command, name) for name in names}
        return cls(**arguments | {"data_dir": arguments["data_dir"] and str(arguments["data_dir"])})

    def write(self, draft: Draft) -> None:
        """Writes ``recipe.json`` into a run's folder.

        Args:
          draft: of the folder.
        """
        draft.json(FILE, dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Recipe:
        """Reads the recipe in a run's folder.

        Args:
          folder: of a run.

        Returns:
          The recipe.

        Raises:
          ValueError: for a folder that is not one of a run of the command line, and a recipe that was altered.
        """

        def read(saved: SavedFolder) -> Any:
            return saved.json(FILE) if FILE in saved else None

        fields = read_whole(folder, read) if folder.is_dir() else None
        if fields is None:
            inside = sorted(file.parent for file in folder.rglob(FILE)) if folder.is_dir() else []
            hint = f"; a run in it is {inside[0]}" if inside else ""
            raise ValueError(f"folder must be one of a run of jasgd train or compare, got {folder}{hint}")
        try:
            return cls(**fields)
        except TypeError as error:  # a key that is missing, or one too many
            raise SavedRunError(f"{folder / FILE} is not what jasgd wrote: {error}") from error

    def problem(self, data_dir: Path | None = None) -> Any:
        """The problem, see :func:`jasgd.problems.load`.

        Args:
          data_dir: where its data set is now; None for where it was.

        Returns:
          The problem.
        """
        from jasgd.problems.problem import load  # needs an extra

        return load(
            self.dataset,
            self.model,
            batch_size=self.batch_size,
            seed=self.seed,
            preset=self.preset,
            data_dir=data_dir or self.data_dir,
            download=self.download,
        )

    def transformation(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer with the rule in its place."""
        if self.constant is None:
            rule = parse_step_rule(self.rule, workers=self.workers, learning_rate=self.learning_rate)
        else:
            rule = computed_constant(self.constant)
        own = getattr(rule, "law", None) is not None or self.law is None
        return transformation(
            rule,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            optimizer=self.optimizer,
            law=None if own else parse_law(self.law or ""),
        )


def transformation(
    rule: rules.Rule | DistanceRule,
    *,
    learning_rate: Any,
    momentum: float = 0.0,
    optimizer: Literal["sgd", "adam"] = "sgd",
    law: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with a rule in its place: before SGD and its momentum, after Adam, which would cancel it.

    Args:
      rule: C(τ), or C(D) as a text behind ``distance:`` names it, which takes no law of the staleness.
      learning_rate: > 0; may be traced.
      momentum: of SGD, 0 ≤ momentum < 1.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law or its text, see :func:`jasgd.staleness_adaptive`.

    Returns:
      The transformation.

    Raises:
      ValueError: for an argument out of its range.

    Example:
      >>> import jasgd
      >>> tx = transformation(jasgd.rules.tail(), learning_rate=0.1)
    """
    if not isinstance(learning_rate, jax.core.Tracer) and not 0 < real("learning_rate", learning_rate) < math.inf:
        raise ValueError(f"learning_rate must be a finite number > 0, got {learning_rate}")
    if not 0 <= real("momentum", momentum) < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    adaptive = distance_adaptive(rule) if isinstance(rule, DistanceRule) else staleness_adaptive(rule, law)
    if optimizer == "adam":
        if getattr(getattr(rule, "rule", None), "measures_bend", False):
            raise ValueError(
                f"optimizer must be sgd for {rule.rule!r}, which measures on gradients; behind Adam give the parabola "  # type: ignore[union-attr]
                "its kappa, got 'adam'"
            )
        if momentum:
            raise ValueError(f"momentum goes with the optimizer sgd; Adam has its own, got {momentum}")
        return optax.chain(optax.adam(learning_rate), adaptive)
    if optimizer != "sgd":
        raise ValueError(f"optimizer must be sgd or adam, got {optimizer!r}")
    return optax.chain(adaptive, optax.sgd(learning_rate, momentum=momentum or None))
