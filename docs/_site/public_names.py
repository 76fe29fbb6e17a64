"""The names that the reference documents: those that each public module exports."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any

#: The public modules. Those of ``jasgd`` are among the names that it exports.
PACKAGES = ("jasgd", "theory")


def modules() -> list[str]:
    """The names of all public modules.

    Example:
      >>> modules()[:2]
      ['jasgd', 'jasgd.adaptive']
    """
    found = []
    for package in PACKAGES:
        face = importlib.import_module(package)
        inner = [name for name in face.__all__ if isinstance(getattr(face, name), types.ModuleType)]
        found += [package, *(f"{package}.{name}" for name in sorted(inner))]
    return found


def exported(module: str) -> list[str]:
    """The names that a module exports, other modules aside: ``__all__``, or else the public ones that it defines."""
    imported = importlib.import_module(module)
    own = [
        name
        for name, value in vars(imported).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]
    names = getattr(imported, "__all__", own)
    return [name for name in names if not isinstance(getattr(imported, name), types.ModuleType)]


def comment_on(module: str, name: str) -> str:
    """What the lines ``#:`` say above the assignment of a public name, wherever it is defined; "" if nothing."""
    folder = Path(str(importlib.import_module(module.partition(".")[0]).__file__)).parent
    value = getattr(importlib.import_module(module), name)
    for path in sorted(folder.rglob("*.py")):
        for match in re.finditer(rf"((?:^#:.*\n)+)^{name}\b[^=\n]*= ?", path.read_text(), re.MULTILINE):
            where = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
            if getattr(importlib.import_module(where.removesuffix(".__init__")), name) is value:
                return " ".join(line.removeprefix("#:").strip() for line in match[1].splitlines())
    return ""


def documented_in(module: str, name: str) -> str:
    """The public module on whose page the name is described: the first that exports the very same thing."""
    value = getattr(importlib.import_module(module), name)
    same = [other for other in modules() if getattr(importlib.import_module(other), name, None) is value]
    return next(other for other in [*same, module] if other == module or name in exported(other))


def members(module: str) -> list[dict[str, Any]]:
    """Each exported name, the kind of directive that describes it, the text of what has no docstring, and where."""
    imported, result = importlib.import_module(module), []
    for name in exported(module):
        value = getattr(imported, name)
        if inspect.isclass(value):
            kind = "exception" if issubclass(value, BaseException) else "class"
        else:
            kind = "function" if inspect.isroutine(value) else "data"
        text = comment_on(module, name) if kind == "data" else inspect.getdoc(value) or ""
        result.append({"name": name, "kind": kind, "text": text, "where": documented_in(module, name)})
    return result
