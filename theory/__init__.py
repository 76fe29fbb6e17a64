"""A checker for step-size functions: conditions proved or refuted, and the convergence bounds that follow.

``from theory import tau`` is what candidate files begin with; ``python -m theory.verify my_fn.py`` decides on one.
"""

from __future__ import annotations

import importlib
from typing import Any

# Imported when asked for: ``theory.check`` re-verifies certificates without SymPy.
_WHERE = {
    "audit": "theory.auditing.auditor",
    "tau": "theory.formulas.from_sympy",
    "to_rule": "theory.bridge",
    "load": "theory.candidates.loading",
    "parse_law": "theory.laws.parsing",
}

__all__ = ["audit", "load", "parse_law", "tau", "to_rule"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
