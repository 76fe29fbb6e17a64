"""How objects show themselves: one short line, and a table in notebooks; arrays by dtype and shape, never in full."""

from __future__ import annotations

import collections
import enum
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

LONGEST = 160  # characters of a line, so that it is read at a glance
LONGEST_VALUE = 48  # characters of one value in it


class Shown:
    """A base of classes whose objects show the facts that :meth:`_facts` gives, in place of all that they hold.

    A dataclass that derives from it passes ``repr=False``, or its own line would come first.
    """

    __slots__ = ()

    def _facts(self) -> dict[str, Any]:
        """What is shown, by name; the most important first."""
        raise NotImplementedError

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A second table for notebooks, one mapping a row; none by default."""
        return ()

    def __repr__(self) -> str:
        return line(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self._facts(), self._rows())


def line(name: str, facts: Mapping[str, Any]) -> str:
    """Facts in one line of at most 160 characters.

    Args:
      name: of what they are about, such as its class.
      facts: by name, the most important first; those that are None are left out.

    Returns:
      The line; "…" stands where it would become too long.

    Example:
      >>> line("TrainResult", {"outcome": "finished", "loss": 0.123456, "params": np.zeros((3, 4))})
      'TrainResult(outcome=finished, loss=0.1235, params=float64[3,4])'
    """
    parts: list[str] = []
    room = LONGEST - len(name) - len("(, …)")
    for key, value in facts.items():
        if value is None:
            continue
        part = f"{key}={brief(value)}"
        if (room := room - len(part) - len(", ")) < 0:
            parts.append("…")
            break
        parts.append(part)
    return f"{name}({', '.join(parts)})"


def table(name: str, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Facts as an HTML table, which notebooks show; it needs nothing from elsewhere, and all text is escaped.

    Args:
      name: of what they are about.
      facts: by name.
      rows: of a second table, with the same keys each.

    Returns:
      The HTML.

    Example:
      >>> table("Replay", {"exact": True})
      '<table><caption>Replay</caption><tr><th>exact</th><td>True</td></tr></table>'
    """
    listed = "".join(
        f"<tr><th>{_escaped(key)}</th><td>{_escaped(value)}</td></tr>"
        for key, value in facts.items()
        if value is not None
    )
    tables = f"<table><caption>{_escaped(name)}</caption>{listed}</table>"
    if rows:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        head = "".join(f"<th>{_escaped(column)}</th>" for column in columns)
        body = ["".join(f"<td>{_escaped(row.get(column, ''))}</td>" for column in columns) for row in rows]
        tables += f"<table><tr>{head}</tr>{''.join(f'<tr>{cells}</tr>' for cells in body)}</table>"
    return tables


def brief(value: Any, longest: int = LONGEST_VALUE) -> str:
    """A value in a few characters: numbers to four digits, arrays by dtype and shape, long text cut.

    Args:
      value: anything.
      longest: characters, at most.

    Returns:
      One line.

    Example:
      >>> brief(np.zeros(3)), brief(1 / 3), brief([np.zeros(3), np.zeros((2, 2))]), brief(range(0, 100, 7))
      ('float64[3]', '0.3333', '2 arrays of 7 numbers', '15 values from 0 to 98')
    """
    text = _text(value)
    if len(text) > longest or "\n" in text:
        text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def tally(values: Iterable[Any]) -> str:
    """How often each value comes, in words.

    Example:
      >>> tally(["finished", "diverged", "finished"])
      '2 finished, 1 diverged'
    """
    return ", ".join(f"{count} {value}" for value, count in collections.Counter(map(str, values)).items())


def counted(count: int, noun: str) -> str:
    """A count with its noun, as in "1 worker" and "2 workers"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def known(value: Any) -> np.ndarray | None:
    """An array's values, or None where it has none to show: one that is traced, deleted, or a mere placeholder."""
    import jax  # here, since the prover shows its objects as well, and needs no JAX

    if isinstance(value, jax.core.Tracer) or not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return None
    if isinstance(value, jax.Array) and (value.is_deleted() or not value.is_fully_addressable):
        return None
    return np.asarray(value)


def _text(value: Any) -> str:
    if isinstance(value, (str, enum.Enum)):
        return str(value)
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.4g}"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, bytes):
        return _several(value)
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return repr(value)


def _several(values: Any) -> str:
    """A container's values where these are few and short, else how many they are."""
    import jax

    try:
        leaves = jax.tree.leaves(values)
    except (TypeError, ValueError):  # keys that have no order
        leaves = []
    if leaves and all(hasattr(leaf, "dtype") and hasattr(leaf, "shape") for leaf in leaves):
        numbers = sum(int(np.prod(leaf.shape)) for leaf in leaves)
        return _text(leaves[0]) if len(leaves) == 1 else f"{len(leaves)} arrays of {numbers:,} numbers"
    items = list(values.items()) if isinstance(values, Mapping) else list(values)
    if len(items) <= 8:
        texts = [f"{k}: {brief(v)}" for k, v in items] if isinstance(values, Mapping) else [brief(v) for v in items]
        listed = ", ".join(texts)
        if len(listed) <= LONGEST_VALUE - 2:
            return f"{{{listed}}}" if isinstance(values, Mapping) else f"[{listed}]"
    if isinstance(values, Mapping):
        return f"{len(items)} entries"
    return f"{len(items)} values from {brief(items[0], 12)} to {brief(items[-1], 12)}"


def _escaped(value: Any) -> str:
    return html.escape(brief(value, 2 * LONGEST))
