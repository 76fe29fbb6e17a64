"""``report_of``: the page of a saved folder, with everything in it: no script, no network."""

from __future__ import annotations

import contextlib
from os import PathLike
from pathlib import Path
from typing import Any

from jasgd.presenting.pictures.style import THEMES, style_of
from jasgd.record.saving.files import write_whole
from jasgd.record.saving.folder import adding
from jasgd.record.saving.manifest import FILE, located
from jasgd.report.pages.loading import Content, load
from jasgd.report.pages.summaries import commands, heading, sentences, table_of
from jasgd.report.pages.vectors import inline, variables
from jasgd.report.plots import pictures

PAGE = "report.html"
ROWS_MOST = 60  # of a data table; the arrays themselves are in the folder
TEMPLATE = Path(__file__).parent / "page.html.jinja"


def report_of(folder: str | PathLike[str], out: str | PathLike[str] | None = None) -> Path:
    """Writes a page of HTML that reports a saved run, comparison or spectrum.

    It says first what came of it, then shows the figures, each with a description and its numbers in a table, and how
    to make all of it again. Everything is in the one file, which needs no script and no network, follows the reader's
    light or dark theme, and can be read on a phone.

    Args:
      folder: as :meth:`jasgd.TrainResult.save`, ``jasgd train``, ``compare`` or ``simulate`` wrote it.
      out: the file to write; by default ``report.html`` in the folder, to which it then belongs, so that it is replaced
        along with it.

    Returns:
      The file.

    Raises:
      ValueError: for a folder that is none of these.
      FileNotFoundError: where there is none.
      SavedRunError: where it is damaged.
      ImportError: without Matplotlib or Jinja2, naming the extra.
      OSError: where the page cannot be written.

    Example:
      >>> import tempfile, jax.numpy as jnp, jasgd, optax
      >>> result = jasgd.train(lambda w, batch: (w**2).sum(), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1,
      ...                      steps=30)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     page = report_of(result.save(folder + "/run"))
      ...     page.name, "The run finished" in page.read_text()
      ('report.html', True)
    """
    folder = Path(folder)
    page = rendered(load(folder), folder).encode()
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(out), page)
        return Path(out)
    with adding(folder) if located(folder / FILE).exists() else contextlib.nullcontext() as draft:
        write_whole((draft.path if draft else folder) / PAGE, page)
    return folder / PAGE


def rendered(content: Content, folder: Path) -> str:
    """The page of what a folder holds.

    Args:
      content: of the folder.
      folder: as commands are to name it.

    Returns:
      HTML.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ImportError('a report needs Jinja2: pip install "jasgd[cli]"') from error

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    drawn = pictures(content.result, style_of("light", "column", False))
    figures: list[dict[str, Any]] = [
        {
            "name": name,
            "picture": picture,
            "svg": inline(picture, name),
            "rows": picture.rows[:ROWS_MOST],
            "more": max(0, len(picture.rows) - ROWS_MOST),
        }
        for name, picture in drawn.items()
    ]
    themes = {name: variables(theme) for name, theme in THEMES.items()}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        heading=heading(content),
        sentences=sentences(content),
        table=table_of(content),
        figures=figures,
        commands=commands(content, folder),
        themes=themes,
        folder=str(folder),
    )
