"""Saving figures: PNG, PDF or SVG by suffix, into a saved folder such that they belong to it."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jasgd.inputs.checks import chosen, described
from jasgd.record.saving.files import write_whole
from jasgd.record.saving.folder import adding
from jasgd.record.saving.manifest import FILE, located

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")


def save(figures: Mapping[str, Figure] | Figure, folder: str | PathLike[str], suffix: str = ".png") -> list[Path]:
    """Writes figures into a folder as PNG, PDF or SVG.

    PNGs have 300 dots per inch, fonts are embedded in PDFs, letters are outlines in SVGs, and no date is in them, so
    that what is drawn once more is the same bytes. Each has what the figure shows as its description. Into the folder
    of a run, comparison or spectrum they are written such that they belong to it, and are replaced along with it.

    Args:
      figures: by name, as :func:`jasgd.report.figures` returns them; or one, which is written to a path whose suffix
        decides.
      folder: made if it does not exist; of one figure the file.
      suffix: ``".png"``, ``".pdf"`` or ``".svg"``, with or without its dot; of one figure that of the file counts.

    Returns:
      The files, in the order of the names.

    Raises:
      TypeError: for what are no figures.
      ValueError: for another suffix, or a name that is no file's.
      OSError: where a file cannot be written.

    Example:
      >>> import tempfile
      >>> from jasgd import cluster, report
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0), workers=3, steps=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     files = save({"timeline": report.timeline(execution)}, folder, "pdf")
      ...     files += save(report.staleness_law(execution), folder + "/law.svg")
      ...     [file.name for file in files]
      ['timeline.pdf', 'law.svg']
    """
    folder = Path(folder)
    named: Mapping[str, Any] | Any = figures
    if hasattr(figures, "savefig"):
        named, folder, suffix = {folder.stem: figures}, folder.parent, folder.suffix
    if not isinstance(named, Mapping) or not all(hasattr(figure, "savefig") for figure in named.values()):
        raise TypeError(f"figures must be a figure, or a mapping from names to figures, got {described(figures)}")
    suffix = suffix if suffix.startswith(".") else f".{suffix}"
    chosen("suffix", suffix.lower(), SUFFIXES)
    for name in named:
        if not re.fullmatch(r"[^/\\\0]+", name) or name.startswith("."):
            raise ValueError(f"figures must have names that files can have, got {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    with adding(folder) if located(folder / FILE).exists() else contextlib.nullcontext() as draft:
        for name, figure in named.items():
            write_whole((draft.path if draft else folder) / f"{name}{suffix}", drawn(figure, suffix[1:].lower()))
    return [folder / f"{name}{suffix}" for name in named]


def drawn(figure: Any, form: str, **parameters: Any) -> bytes:
    """The bytes of a figure's file, which has the figure's label as its description and no date.

    Args:
      figure: of Matplotlib.
      form: ``"png"``, ``"pdf"`` or ``"svg"``.
      **parameters: of Matplotlib, with ``_`` for the dot.

    Returns:
      The file.
    """
    from matplotlib import rc_context

    label = figure.get_label()
    metadata = {
        "png": {"Description": label, "Software": "jasgd"},
        "pdf": {"Subject": label, "CreationDate": None},
        "svg": {"Description": label, "Date": None},
    }[form]
    named = {"svg.hashsalt": "jasgd", "pdf.fonttype": 42} | {k.replace("_", ".", 1): v for k, v in parameters.items()}
    with rc_context(named), io.BytesIO() as file:
        figure.savefig(file, format=form, metadata=metadata)
        return file.getvalue()
