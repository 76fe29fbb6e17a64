"""What ``--help`` adds below the options: rules, schemes and exit codes, from the tables that have them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

EXIT_CODES = (
    "Exit codes: 0 all went well; 1 a run failed or, in train, diverged, a replay comes to other bits, or a data set "
    "is wrong; 2 bad input; 130 after Ctrl-C; 143 after SIGTERM. Those of verify, check, bounds and audit are in their "
    "help."
)
WIDTH = 79
GREEK = {"tau": "τ", "beta": "β", "gamma": "γ", "eta": "η", "le": "≤"}


def epilogue(command: str | None) -> str:
    """What stands below the options in the help of a command.

    Args:
      command: its name; None for the help of ``jasgd`` itself.

    Returns:
      Some paragraphs.
    """
    parts = []
    if command in ("train", "compare", "simulate"):
        from jasgd.distances.table import PARABOLAS
        from jasgd.rules.table import RULES

        heading = "Rules, which give the factor C(τ) of a gradient's step; options as in tail:cdf=strict"
        parts.append(_table(heading, RULES))
        heading = (
            "Rules by how far the parameters have moved since the read, written distance:NAME; all have the options "
            "window and measure as well, as in distance:tail:window=128,measure=path"
        )
        parts.append(_table(heading, {"tail": RULES["tail"]} | PARABOLAS))
    if command in ("train", "compare"):
        from jasgd.schemes.factories import SCHEMES

        parts.append(_table("Schemes, by which workers share parameters; options as in leashed:persistence=3", SCHEMES))
    if command == "simulate":
        from jasgd import cluster
        from jasgd.cluster.generation.scheme_names import SIMULATED
        from jasgd.schemes.factories import SCHEMES

        heading = "Schemes, by which workers share parameters; options as in bounded_staleness:slack=1"
        said = {name: SCHEMES.get(name) or getattr(cluster, name, kind) for name, kind in SIMULATED.items()}
        parts.append(_table(heading, said, {name: _options(kind) for name, kind in SIMULATED.items()}))
    parts.append("\n".join(textwrap.wrap(EXIT_CODES, WIDTH)))
    if command is None:
        parts.append("jasgd --version (or -V) says which versions of jasgd, JAX and Python these are.")
    return "\n\n".join(parts)


def _table(
    heading: str, table: Mapping[str, Callable[..., Any]], options_of: Mapping[str, Sequence[str]] | None = None
) -> str:
    lines = textwrap.wrap(f"{heading}:", WIDTH)
    for name, factory in table.items():
        indent = " " * 22
        options = _options(factory) if options_of is None else options_of[name]
        text = _phrase(factory) + (f" [{', '.join(options)}]" if options else "")
        first = f"  {name:<19} "
        lines += textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines)


def _phrase(factory: Callable[..., Any]) -> str:
    """The first sentence of a docstring, without the marks of reStructuredText."""
    first = (inspect.getdoc(factory) or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[.:;])\s", first + " ")[0].rstrip(".:; ")
    return _plain(re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda match: match[1] or match[2], sentence))


def _plain(text: str) -> str:
    """A formula of LaTeX as a terminal can show it."""
    text = re.sub(r"\\(min|max|ln)\b ?", r"\1", text).replace(r"\{", "(").replace(r"\}", ")")
    text = re.sub(r"\\frac\{([^{}]*)\}\{(\w)\}", r"\1/\2", text)
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/(\2)", text)
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", text)
    text = re.sub(r"(?<=[\^_])\{([^{}]*)\}", r"(\1)", text)
    for name, letter in GREEK.items():
        text = re.sub(rf"\\{name}(?![a-z])", letter, text)
    return text


def _options(factory: Callable[..., Any]) -> Sequence[str]:
    return [name for name in inspect.signature(factory).parameters if name not in ("setup", "self", "run")]
