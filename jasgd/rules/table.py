"""The table of rules, and the rule of a name."""

from __future__ import annotations

from collections.abc import Callable

from jasgd.inputs import specs
from jasgd.rules.damping import constant, exponential, hinge, inverse, power, threshold
from jasgd.rules.delay_adaptive import adadelay, koloskova, mishchenko
from jasgd.rules.distortions import freshest_share, rank_exponential, rank_power
from jasgd.rules.law_based import normalized, tail
from jasgd.rules.lines import best_linear, linear
from jasgd.rules.protocol import Rule
from jasgd.rules.published import tail_published

#: Every rule that can be asked for by name, on the command line and in :func:`named`.
RULES: dict[str, Callable[..., Rule]] = {
    "constant": constant,
    "inverse": inverse,
    "power": power,
    "hinge": hinge,
    "exponential": exponential,
    "threshold": threshold,
    "mishchenko": mishchenko,
    "koloskova": koloskova,
    "adadelay": adadelay,
    "tail": tail,
    "tail_published": tail_published,
    "rank_power": rank_power,
    "rank_exponential": rank_exponential,
    "freshest_share": freshest_share,
    "linear": linear,
    "best_linear": best_linear,
}


def named(name: str, **options: object) -> Rule:
    """The rule of a name, for command lines and configuration files.

    Args:
      name: a key of :data:`RULES`, with options after it as on the command line, ``tail:cdf=strict``, or without.
      **options: the arguments of that rule's factory; ``normalized=True`` divides the rule by its mean.

    Returns:
      The rule.

    Raises:
      ValueError: for an unknown name, an unknown or missing option, or a value that the factory refuses.

    Example:
      >>> float(named("inverse")(3))
      0.25
    """
    name, written = specs.parse_spec(name)
    factory, rest = specs.entry("rule", RULES, name), written | options
    specs.check_kinds(factory, written)
    by_mean = rest.pop("normalized", False)
    if not isinstance(by_mean, bool):
        raise ValueError(f"normalized must be true or false, got {by_mean!r}")
    rule = specs.make(f"rule {name!r}", factory, rest, besides=["normalized"])
    return normalized(rule) if by_mean else rule
