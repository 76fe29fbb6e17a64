"""``jasgd replay``: runs a recorded run again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

from jasgd.cli.output import FAILED, SUCCEEDED, print_lines

with contextlib.suppress(ImportError):  # main says that it is missing; nothing but tyro reads the annotations
    from tyro.conf import Positional


@dataclasses.dataclass(kw_only=True)
class Replay:
    """Run a recorded run again, commit by commit, and check that it comes to the same bits."""

    folder: Positional[Path]
    """Folder of a run that train or compare wrote."""
    upto: int | None = None
    """Number of commits after which to stop; by default all."""
    bisect_nonfinite: bool = False
    """Whether to find the first commit or loss that is not finite; exit with 1 where there is one."""
    strict: bool = True
    """Whether to refuse where versions, flags, dtypes or the processor are not those of the run."""
    data_dir: Path | None = None
    """Folder that has the data set, where it is no longer where it was."""
    json: bool = False
    """Print one JSON object instead of a text, for scripts."""

    def run(self) -> int:
        """Replays, and prints how the bits compare."""
        from jasgd.experiments.recipe import Recipe
        from jasgd.record.result import TrainResult
        from jasgd.record.trees import to_json
        from jasgd.replaying import nonfinite, replayer
        from jasgd.replaying.rerun import check_upto

        recipe = Recipe.load(self.folder)
        tx = recipe.transformation()
        # Read once without a structure: what is wrong with the folder is said before the data set is loaded.
        check_upto(self.upto, TrainResult.load(self.folder).execution.commits)
        problem = recipe.problem(self.data_dir)
        result = TrainResult.load(self.folder, params_like=problem.params)
        arguments = result, problem.loss_fn, tx, problem.batches
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "this is not what the run was made with")  # printed below
            if self.bisect_nonfinite:
                first = nonfinite.first_nonfinite(*arguments, upto=self.upto, strict=self.strict)
                fields: dict[str, Any] = {"first_nonfinite": None if first is None else dataclasses.asdict(first)}
                text = nonfinite.describe_nonfinite(first, result, self.upto)
                failed = nonfinite.ended_badly(first, result, self.upto)
            else:
                again = replayer.replay(*arguments, upto=self.upto, strict=self.strict)
                fields = {f.name: getattr(again, f.name) for f in dataclasses.fields(again)}
                fields = {key: value for key, value in fields.items() if key not in ("params", "opt_state")}
                fields["environment"] = [difference._asdict() for difference in again.environment]
                text, failed = again.summary(), not again.exact
        print_lines(json.dumps(to_json({"folder": str(self.folder)} | fields), indent=2) if self.json else text)
        return FAILED if failed else SUCCEEDED
