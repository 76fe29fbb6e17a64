"""``jasgd report``: writes a page that reports a saved run, comparison or spectrum."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from jasgd.cli.output import SUCCEEDED, print_lines

with contextlib.suppress(ImportError):  # main says that it is missing; nothing but tyro reads the annotations
    from tyro.conf import Positional


@dataclasses.dataclass(kw_only=True)
class Report:
    """Write one self-contained page of HTML that reports a run, a comparison or a simulation."""

    folder: Positional[Path]
    """Folder that train, compare or simulate wrote."""
    out: Path | None = None
    """File to write; by default report.html in the folder."""

    def run(self) -> int:
        """Writes the page, and prints its path."""
        from jasgd.report.pages.page import report_of

        print_lines(str(report_of(self.folder, self.out)))
        return SUCCEEDED
