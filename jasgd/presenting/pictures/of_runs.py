"""All pictures of runs, by name."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jasgd.presenting.pictures.canvas import NothingToDraw, Picture
from jasgd.presenting.pictures.laws import staleness_law_picture
from jasgd.presenting.pictures.losses import evaluations_picture, loss_picture
from jasgd.presenting.pictures.over_time import factor_over_time_picture, staleness_over_time_picture
from jasgd.presenting.pictures.runs import runs_of
from jasgd.presenting.pictures.step_sizes import step_size_picture
from jasgd.presenting.pictures.style import Style
from jasgd.presenting.pictures.timeline import timeline_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[Any, Style], Picture]
#: in the order in which they are looked at
OF_RUNS: dict[str, Draw] = {
    "loss": loss_picture,
    "evaluations": evaluations_picture,
    "timeline": timeline_picture,
    "staleness": staleness_law_picture,
    "staleness_over_time": staleness_over_time_picture,
    "step_size": step_size_picture,
    "factor_over_time": factor_over_time_picture,
}


class Figures(dict[str, "Figure"]):
    """Figures by name; a notebook shows them all."""

    def _repr_html_(self) -> str:
        return "".join(
            f'<img alt="{html.escape(str(figure.get_label()))}" src="data:image/png;base64,{_png(figure)}">'
            for figure in self.values()
        )


def _png(figure: Figure) -> str:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return base64.b64encode(picture.getvalue()).decode()


def drawn(
    result: Any, style: Style, names: Sequence[str] | None = None, table: Mapping[str, Draw] = OF_RUNS
) -> dict[str, Picture]:
    """The pictures of a result, by name; those that have nothing to show are left out.

    Args:
      result: what they show.
      style: of all.
      names: of those that are wanted; None for all.
      table: what draws each.

    Returns:
      The pictures.
    """
    if table is OF_RUNS:
        try:
            runs_of(result)
        except NothingToDraw:
            return {}
    found = {}
    for name, draw in table.items():
        if names is None or name in names:
            try:
                found[name] = draw(result, style)
            except NothingToDraw:
                continue
    return found
