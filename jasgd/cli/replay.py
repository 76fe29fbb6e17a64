"""``jasgd replay``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from jasgd.cli.output import FAILED, SUCCEEDED

with contextlib.suppress(ImportError):  # main says that it is missing; nothing but tyro reads the annotations
    from tyro.conf import Positional


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
        from jasgd import TrainResult
        from jasgd.experiments.recipe import Recipe
        from jasgd.record.trees import to_json
        from jasgd.replaying import nonfinite, replayer

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
                first = nonfinite.first_nonfinite(*given, upto=self.upto, strict=self.strict)
                told: dict[str, Any] = {"first_nonfinite": None if first is None else dataclasses.asdict(first)}
                text, failed = nonfinite.describe_nonfinite(first, result, self.upto), first is not None
            else:
                again = replayer.replay(*given, upto=self.upto, strict=self.strict)
                told = {f.name: getattr(again, f.name) for f in dataclasses.fields(again)}
                told = {key: value for key, value in told.items() if key not in ("params", "opt_state")}
                told["environment"] = [difference._asdict() for difference in again.environment]
                text, failed = again.summary(), not again.exact
        print(json.dumps(to_json({"folder": str(self.folder)} | told), indent=2) if self.json else text)
        return FAILED if failed else SUCCEEDED
