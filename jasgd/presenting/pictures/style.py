"""The one style of all pictures: sizes, fonts, two themes, and the colour, line and marker of each arm."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from jasgd.inputs.checks import real, switch

WIDTHS = {"column": 3.4, "page": 7.0}  # inches: a column of a paper in two columns, and its page
LEAST_WIDTH, MOST_WIDTH = 2.5, 40.0
#: What the public functions take as theme and width.
ThemeName = Literal["light", "dark"]
Width = Literal["column", "page"] | float


class Theme(NamedTuple):
    """The colours of a theme. No two of one theme are equal, since a page replaces each by a variable of its own."""

    paper: str
    ink: str
    muted: str
    grid: str
    band: str
    colours: tuple[str, ...]  # of arms
    levels: tuple[str, ...]  # of quantities, from little to much
    on_low: str  # text on the first three levels
    on_high: str  # text on the others

    def on(self, level: int) -> str:
        """The colour of text on a level."""
        return self.on_low if level < 3 else self.on_high


# Told apart with every kind of colour vision, and by lines and markers besides; the first is that of `constant`.
THEMES = {
    "light": Theme(
        "#ffffff",
        "#1d232b",
        "#5c6670",
        "#e3e7eb",
        "#cdd5dc",
        ("#42464b", "#006ab1", "#d16100", "#00855e", "#b24a8a", "#8d5900", "#1f9bc9", "#5e42b7"),
        ("#e0ecf7", "#b9d5ec", "#85b6dc", "#3d84bb", "#12538a"),
        "#1c232b",
        "#fefefe",
    ),
    "dark": Theme(
        "#14181d",
        "#e8ecf0",
        "#9aa5b1",
        "#2a313a",
        "#3c4650",
        ("#c3c9d1", "#5ab3f3", "#ff9347", "#31c78a", "#ed7cba", "#e6c83f", "#7fdcf5", "#9b7ff2"),
        ("#1d3348", "#274f70", "#37719f", "#6fadde", "#b9dcf8"),
        "#e9ecf0",
        "#10151a",
    ),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
#: The colour that a rule has in every picture in which no rule before it has taken that.
PREFERRED = {
    "constant": 0,
    "tail": 1,
    "inverse": 2,
    "exponential": 3,
    "power": 4,
    "hinge": 5,
    "adadelay": 6,
    "threshold": 7,
    "mishchenko": 4,
    "koloskova": 5,
    "tail_published": 6,
}


class Look(NamedTuple):
    """Colour, line and marker of an arm."""

    color: str
    linestyle: str
    marker: str
    hollow: bool

    def line(self) -> dict[str, Any]:
        """Arguments of a line without markers."""
        return {"color": self.color, "linestyle": self.linestyle}

    def marked(self, paper: str) -> dict[str, Any]:
        """Arguments of a line with markers."""
        return self.line() | {"marker": self.marker, "markerfacecolor": paper if self.hollow else self.color}


class Style(NamedTuple):
    """How a picture is drawn."""

    name: str
    theme: Theme
    inches: float
    title: bool

    @property
    def wide(self) -> bool:
        """Whether there is room for panels beside each other."""
        return self.inches >= 5.5

    def looks(self, labels: Sequence[str]) -> dict[str, Look]:
        """A look for each arm. That of ``constant`` is the same everywhere, and no look depends on results.

        Args:
          labels: of the arms. A control is dotted in the colour of its rule, and a normalised rule dashed.

        Returns:
          The looks, by label.

        Example:
          >>> looks = style_of("light", "column").looks(["tail", "constant", "constant@tail"])
          >>> looks["constant@tail"].color == looks["tail"].color, looks["constant@tail"].linestyle
          (True, ':')
        """
        bases = list(dict.fromkeys(_base(label) for label in labels))
        taken: dict[str, int] = {}
        for base in bases:
            number = PREFERRED.get(base.partition(":")[0], 1)
            if number not in taken.values() and (number or base == "constant"):
                taken[base] = number
        free = [number for number in range(1, len(self.theme.colours)) if number not in taken.values()]
        again = 0
        styles = dict.fromkeys(taken, "-")
        for base in bases:
            if base not in taken:
                if free:
                    taken[base], styles[base] = free.pop(0), "-"
                else:
                    taken[base], styles[base] = 1 + again % (len(self.theme.colours) - 1), "-."
                    again += 1
        looks = {}
        for label in labels:
            number, style = taken[_base(label)], styles[_base(label)]
            style = ":" if "@" in label else "--" if "normalized=true" in label else style
            looks[label] = Look(self.theme.colours[number], style, MARKERS[number], "@" in label)
        return looks

    def parameters(self) -> dict[str, Any]:
        """Matplotlib's parameters."""
        t = self.theme
        inked = dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), t.ink)
        small = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7.0)
        thin = dict.fromkeys(("axes.linewidth", "grid.linewidth", "xtick.major.width", "ytick.major.width"), 0.6)
        sides = dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False)
        return inked | small | thin | sides | {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 8.0,
            "axes.titlesize": 8.0,
            "axes.titlelocation": "left",
            "axes.titlepad": 5.0,
            "axes.labelsize": 8.0,
            "figure.titlesize": 8.5,
            "figure.titleweight": "bold",
            "figure.facecolor": t.paper,
            "axes.facecolor": t.paper,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": t.grid,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "xtick.minor.size": 1.5,
            "ytick.minor.size": 1.5,
            "lines.linewidth": 1.3,
            "lines.markersize": 3.5,
            "legend.handlelength": 2.6,
            "hatch.linewidth": 0.6,
            "svg.hashsalt": "jasgd",  # the same picture is the same file
            "pdf.fonttype": 42,  # which printers and conferences ask for
            "text.parse_math": False,  # labels are shown as they are
        }  # fmt: skip

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Has Matplotlib draw in this style."""
        try:
            from matplotlib import rc_context
        except ImportError as error:
            raise ImportError('plots need Matplotlib: pip install "jasgd[cli]"') from error
        with rc_context(self.parameters()):
            yield


def style_of(theme: Any, width: Any, title: Any = True) -> Style:
    """The style that a caller asks for.

    Args:
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches; or a number of inches from 2.5 to 40.
      title: whether a title stands above the picture; captions of papers are theirs.

    Returns:
      The style.

    Raises:
      ValueError: for another theme or width.
      TypeError: for what is no number, name or bool.

    Example:
      >>> style_of("dark", 5.0).inches
      5.0
    """
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}, got {theme!r}")
    switch("title", title)
    if isinstance(width, str):
        if width not in WIDTHS:
            raise ValueError(f"width must be one of {', '.join(WIDTHS)}, or a number of inches, got {width!r}")
        return Style(theme, THEMES[theme], WIDTHS[width], title)
    inches = float(real("width", width, "a number of inches, or column or page"))
    if not LEAST_WIDTH <= inches <= MOST_WIDTH:
        raise ValueError(f"width must lie in {LEAST_WIDTH:g}…{MOST_WIDTH:g} inches, got {inches:g}")
    return Style(theme, THEMES[theme], inches, title)


def _base(label: str) -> str:
    """The rule that a label is a form of."""
    return re.sub(r"[:,]normalized=true", "", label.rpartition("@")[2])
