"""Rules in text, as on the command line: ``tail:cdf=strict``."""

from __future__ import annotations

import inspect

from jasgd.inputs import specs
from jasgd.rules.protocol import Rule
from jasgd.rules.table import RULES, named


def parse_rule(text: str, *, workers: int | None = None, learning_rate: float | None = None) -> Rule:
    """The rule that a text names.

    Args:
      text: ``name:key=value,…`` with a name and options of :data:`jasgd.rules.RULES`; ``normalized=true`` divides the
        rule by its mean.
      workers: what the options ``workers`` and ``concurrency`` are, where the rule has them and the text does not;
        None where that is not known.
      learning_rate: the same for ``learning_rate``.

    Returns:
      The rule.

    Raises:
      ValueError: for an unknown name or option, a missing option, or a value that the rule refuses.

    Example:
      >>> float(parse_rule("koloskova:smoothness=1", workers=4, learning_rate=0.25)(8))
      0.125
    """
    name, options = specs.parse_spec(text)
    try:
        known = {"workers": workers, "concurrency": workers, "learning_rate": learning_rate}
        asked = inspect.signature(specs.entry("rule", RULES, name)).parameters.keys() - options.keys()
        return named(text, **{key: value for key, value in known.items() if key in asked and value is not None})
    except (TypeError, ValueError) as error:  # a TypeError from a user's own factory
        raise ValueError(f"rule {text!r}: {error}") from error


def canonical(text: str) -> str:
    """A rule's text with its options in alphabetical order, and no spaces; ValueError where no rule has that name."""
    name, options = specs.parse_spec(text)
    specs.entry("rule", RULES, name)
    return specs.write_spec(name, options)
