"""A public name that the reference does not describe is a warning, and so an error of the build."""

from __future__ import annotations

from typing import Any

from public_names import members, modules
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging


def undescribed(described: set[str]) -> list[str]:
    """The public names that are not among those that have an entry in the reference."""
    names = [f"{member['where']}.{member['name']}" for module in modules() for member in members(module)]
    return [name for name in names if name not in described]


def setup(app: Sphinx) -> dict[str, Any]:
    """Looks at what was described once all pages are read."""

    def check(app: Sphinx, env: BuildEnvironment) -> None:
        for name in undescribed(set(env.get_domain("py").objects)):  # type: ignore[attr-defined]
            logging.getLogger(__name__).warning("the public name %s is on no page of the reference", name)

    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
