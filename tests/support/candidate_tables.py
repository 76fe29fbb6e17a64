"""Tables of candidate files: their text, and what is true of each condition under each law."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from theory.laws import Law
from theory.laws.parsing import from_json, parse_law

CONDITIONS = ("defined", "positive", "decreasing", "magnitude", "amplitude", "moments")
_FIELDS = ("why", "truth", "refused", "value", "amplitude", "cdf", "look", "near", "parameters", "by hand", "made")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A candidate file of a table.

    Attributes:
      table: the table that it stands in.
      name: the file's name.
      source: its text.
      fields: what else the table says of it, by the names that the tables' page explains.
    """

    table: str
    name: str
    source: str
    fields: dict[str, str]

    @property
    def refused(self) -> str | None:
        """A pattern of the error that the file is refused with; None where it is read."""
        return self.fields.get("refused")

    @property
    def truths(self) -> dict[str, str]:
        """By law the six letters; nothing where no verdict at all would be right."""
        if self.fields.get("truth", "none") == "none":
            return {}
        return dict(part.strip().rsplit(" ", 1) for part in self.fields["truth"].split(";"))

    def laws(self) -> dict[str, list[Law]]:
        """By law as it is written, what the checker is asked under; nothing is every law."""
        return {spec: [] if spec == "every" else [law_of(spec)] for spec in self.truths or {"every": ""}}


def law_of(spec: str) -> Law:
    """The law of a text; ``counts:`` is followed by the counts themselves."""
    return from_json(["counts", json.loads(spec[7:])]) if spec.startswith("counts:") else parse_law(spec)


def entries(folder: pathlib.Path) -> Iterator[Entry]:
    """Every file of every table in a folder."""
    for table in sorted(folder.glob("*.txt")):
        for block in table.read_text(encoding="utf-8").split("==== ")[1:]:
            head, _, source = block.partition("----\n")
            name, *lines = head.splitlines()
            fields: dict[str, str] = {}
            for line in lines:
                key, _, value = line.partition(": ")
                if key not in _FIELDS or key in fields:
                    raise ValueError(f"{table.name}: {name}: {key!r} is no field, or is there twice")
                fields[key] = value
            made: Any = fields.get("made")
            yield Entry(table.stem, name, source if made is None else eval(made, {}), fields)
