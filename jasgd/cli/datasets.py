"""``jasgd datasets``: lists the data sets on this machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from jasgd.cli.output import FAILED, SUCCEEDED, print_lines, stdout


@dataclasses.dataclass(kw_only=True)
class Datasets:
    """List the data sets that are on this machine, and where they are."""

    data_dir: Path | None = None
    """Only folder to look in; by default $JASGD_DATA_DIR, the cache and the system's folder are searched."""
    verify: bool = False
    """Whether to read the files and check their SHA-256."""
    json: bool = False
    """Print one JSON object instead of a table, for scripts."""

    def run(self) -> int:
        """Looks for the data sets and prints a table of them."""
        from jasgd.problems.datasets import DATASETS, describe_dataset, locate
        from jasgd.problems.local_datasets import LISTED
        from jasgd.report.tables import datasets_table

        table, rows, wrong = [], {}, False
        for name in (*DATASETS, *LISTED):
            location = locate(name, self.data_dir, verify=self.verify)
            # Files in no folder of its own may as well be another's: several data sets have MNIST's names.
            if name in LISTED and location.folder in (None, self.data_dir):
                continue
            wrong |= any(file.status == "wrong" for file in location.files)
            rows[name] = dataclasses.asdict(location) | {"title": describe_dataset(name).title}
            counts = {s: n for s in ("missing", "present", "verified", "well formed", "wrong")
                      if (n := sum(file.status == s for file in location.files))}  # fmt: skip
            files = ", ".join(f"{n} {status}" for status, n in counts.items()) or "in scikit-learn's wheel"
            problems = "".join(f"\n{file.problem}" for file in location.files if file.problem)
            table.append((name, rows[name]["title"], location.origin, str(location.folder or ""), files + problems))
        if self.json:
            print_lines(json.dumps(rows, indent=2, default=str))
        else:
            stdout().print(datasets_table(table))
        return FAILED if wrong else SUCCEEDED
