"""Rules that show what they are: ``tail(amplitude=1.0, cdf='mid')`` in place of a function at an address."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

Options = ParamSpec("Options")


class LibraryRule:
    """A rule of the library: a function of the staleness, or of it and the law, and a line that says which.

    Args:
      function: the rule; its attributes, such as ``law`` and ``warms_up``, become those of the object.
      line: what is shown.
    """

    def __init__(self, function: Callable[..., Any], line: str):
        self.__dict__.update(vars(function))
        self.__wrapped__ = function  # whose signature says whether the rule reads the law
        self._line = line

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The factor C(τ)."""
        return self.__wrapped__(*arguments, **options)

    def __repr__(self) -> str:
        return self._line


def shown(factory: Callable[Options, Callable[..., Any]]) -> Callable[Options, Callable[..., Any]]:
    """Makes what a factory of rules returns show the factory's name and options.

    Args:
      factory: a function of the options that returns a rule.

    Returns:
      The same function, of rules that show themselves.

    Example:
      >>> @shown
      ... def scaled(factor=0.5):
      ...     return lambda staleness: factor / (1 + staleness)
      >>> scaled(), scaled(2.0)(1)
      (scaled(factor=0.5), 1.0)
    """
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def make(*arguments: Options.args, **options: Options.kwargs) -> Any:
        rule = factory(*arguments, **options)
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        listed = ", ".join(f"{name}={value!r}" for name, value in bound.arguments.items() if value is not None)
        return LibraryRule(rule, f"{factory.__name__}({listed})")

    return make
