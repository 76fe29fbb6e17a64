"""What rules, laws, schemes and optimizers are called in text, as on the command line: ``name:key=value,key=value``."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from jasgd import rules, schemes
from jasgd.schemes import SchemeFactory
from jasgd.staleness import StalenessHistogram

LAWS = {
    "window": StalenessHistogram.window,
    "decay": StalenessHistogram.decay,
    "cumulative": StalenessHistogram.cumulative,
    "one_shot": StalenessHistogram.one_shot,
}


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Splits ``name:key=value,key=value``, as rules and schemes are written on the command line.

    Args:
      text: the name, and behind a colon its options; a value is a number, true, false, none, or else a string.

    Returns:
      The name and the options.

    Raises:
      ValueError: for an option that is not key=value, or that comes twice.

    Example:
      >>> parse_spec("exponential:beta=0.1,normalized=true")
      ('exponential', {'beta': 0.1, 'normalized': True})
    """
    name, colon, told = (part.strip() for part in text.partition(":"))
    options: dict[str, Any] = {}
    for option in told.split(",") if colon else []:
        key, equals, value = (part.strip() for part in option.partition("="))
        if not (key and equals and value) or key in options:
            raise ValueError(f"{text!r}: options are written name:key=value,key=value, each once; got {option!r}")
        options[key] = _value(value)
    return name, options


def parse_rule(text: str, *, workers: int, learning_rate: float) -> rules.Rule:
    """The rule that a text names.

    Args:
      text: ``name:key=value,…`` with a name and options of :data:`jasgd.rules.RULES`; ``normalized=true`` divides the
        rule by its mean.
      workers: what the options ``workers`` and ``concurrency`` are, where the rule has them and the text does not.
      learning_rate: the same for ``learning_rate``.

    Returns:
      The rule.

    Raises:
      ValueError: for an unknown name or option, a missing option, or a value that the rule refuses.

    Example:
      >>> float(parse_rule("koloskova:smoothness=1", workers=4, learning_rate=0.25)(8))
      0.125
    """
    name, options = parse_spec(text)
    if not isinstance(options.get("normalized", False), bool):
        raise ValueError(f"rule {text!r}: normalized must be true or false, got {options['normalized']!r}")
    if name in rules.RULES:
        known = {"workers": workers, "concurrency": workers, "learning_rate": learning_rate}
        wanted = inspect.signature(rules.RULES[name]).parameters
        options = {key: value for key, value in known.items() if key in wanted} | options
    try:
        _check_kinds(rules.RULES.get(name), options)
        return rules.named(name, **options)
    except (TypeError, ValueError) as error:  # a TypeError from a user's own factory
        raise ValueError(f"rule {text!r}: {error}") from error


def parse_scheme(text: str) -> SchemeFactory:
    """The scheme that a text names.

    Args:
      text: ``name:key=value,…`` with a name and options of :data:`jasgd.schemes.SCHEMES`.

    Returns:
      What ``train(scheme=...)`` takes.

    Raises:
      ValueError: for an unknown name or option; values are checked by ``train``.

    Example:
      >>> schemes.describe(parse_scheme("leashed:persistence=3"))
      'leashed(persistence=3)'
    """
    name, options = parse_spec(text)
    return schemes.named(name, **options)


def parse_law(text: str) -> StalenessHistogram:
    """The empty law that a text names.

    Args:
      text: ``name:key=value,…`` with a name of :data:`LAWS` and the options of that law, for instance
        ``window:length=256``.

    Returns:
      The law.

    Raises:
      ValueError: for an unknown name or option, a missing option, or a value that the law refuses.

    Example:
      >>> law = parse_law("decay:half_life=100,bins=64")
      >>> law.half_life, law.bins
      (100.0, 64)
    """
    name, options = parse_spec(text)
    if name not in LAWS:
        raise ValueError(f"law must be one of {', '.join(LAWS)}, got {name!r}")
    allowed = inspect.signature(LAWS[name]).parameters
    for key in options:
        if key not in allowed:
            raise ValueError(f"law {name!r} has the options {', '.join(allowed)}; got {key!r}")
    try:
        _check_kinds(LAWS[name], options)
        return LAWS[name](**options)
    except (TypeError, ValueError) as error:  # a TypeError for a missing option
        raise ValueError(f"law {text!r}: {error}") from error


def canonical(text: str) -> str:
    """A rule's text with its options in alphabetical order, and no spaces; ValueError where no rule has that name."""
    name, options = parse_spec(text)
    if name not in rules.RULES:
        raise ValueError(f"rule must be one of {', '.join(rules.RULES)}, got {name!r}")
    told = ",".join(f"{key}={_text(value)}" for key, value in sorted(options.items()))
    return f"{name}:{told}" if told else name


def _check_kinds(factory: Callable[..., Any] | None, options: dict[str, Any]) -> None:
    """Refuses words for numbers, and anything but true and false for a switch, which "no" would turn on.

    Other options the factories check themselves.
    """
    kinds = {float: "a number", bool: "true or false", types.NoneType: "none"}
    try:
        hints = get_type_hints(factory)
    except (NameError, TypeError):  # none, or a user's own whose annotations cannot be read
        hints = {}
    for key in options.keys() & hints.keys():
        value, wanted = options[key], get_args(hints[key]) or (hints[key],)
        given = float if type(value) is int else type(value)
        if all(kind in kinds for kind in wanted) and given not in wanted:
            raise ValueError(f"{key} must be {' or '.join(kinds[kind] for kind in wanted)}, got {value!r}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
