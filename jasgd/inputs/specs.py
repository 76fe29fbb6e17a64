"""Names with options in text, as on the command line (``name:key=value,key=value``), and making what they name."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args, get_type_hints


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Splits ``name:key=value,key=value``, as rules and schemes are written on the command line.

    Args:
      text: the name, and after a colon its options; a value is a number, true, false, none, or else a string.

    Returns:
      The name and the options.

    Raises:
      ValueError: for an option that is not key=value, or that comes twice.

    Example:
      >>> parse_spec("exponential:beta=0.1,normalized=true")
      ('exponential', {'beta': 0.1, 'normalized': True})
    """
    name, colon, listed = (part.strip() for part in text.partition(":"))
    options: dict[str, Any] = {}
    for option in listed.split(",") if colon else []:
        key, equals, value = (part.strip() for part in option.partition("="))
        if not (key and equals and value) or key in options:
            raise ValueError(f"{text!r}: options are written name:key=value,key=value, each once; got {option!r}")
        options[key] = _value(value)
    return name, options


def write_spec(name: str, options: Mapping[str, Any]) -> str:
    """The text of a name and options, which are brought into alphabetical order, without spaces.

    Args:
      name: the name.
      options: their values are numbers, true, false, None, or strings.

    Returns:
      What :func:`parse_spec` reads.

    Example:
      >>> write_spec("exponential", {"normalized": True, "beta": 0.1})
      'exponential:beta=0.1,normalized=true'
    """
    listed = ",".join(f"{key}={_text(value)}" for key, value in sorted(options.items()))
    return f"{name}:{listed}" if listed else name


def entry(kind: str, table: Mapping[str, Any], name: str) -> Any:
    """What a table has under a name.

    Args:
      kind: what the table has, for the message: ``"rule"``, ``"law"``, ``"scheme"``.
      table: by name.
      name: to be looked up.

    Returns:
      The entry.

    Raises:
      ValueError: for an unknown name.

    Example:
      >>> entry("law", {"window": 1}, "window")
      1
    """
    if name not in table:
        hint = "; options are written name:key=value,key=value" if "(" in name else ""
        raise ValueError(f"{kind} must be one of {', '.join(table)}, got {name!r}{hint}")
    return table[name]


def make(
    owner: str,
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    known: Mapping[str, Any] | None = None,
    besides: Collection[str] = (),
) -> Any:
    """Calls a factory with options from text, once they are those of its signature.

    Args:
      owner: what has the options, for the message, such as ``"rule 'tail'"``.
      factory: what is called.
      options: by name.
      known: values for options that the factory has and that ``options`` leave out.
      besides: names of options that the caller has taken out of ``options`` itself.

    Returns:
      What the factory returns.

    Raises:
      ValueError: for an unknown option, a missing one, or a value that the factory refuses.

    Example:
      >>> make("rule 'power'", lambda p=1.0, *, of=2.0: of**p, {"p": 3}, known={"of": 3.0, "workers": 4})
      27.0
    """
    parameters = inspect.signature(factory).parameters
    check_names(owner, options, [*parameters, *besides])
    options = {key: value for key, value in (known or {}).items() if key in parameters} | dict(options)
    check_complete(owner, options, parameters)
    return factory(**options)


def check_names(owner: str, options: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Refuses options of other names than those that are allowed.

    Args:
      owner: what has the options, for the message.
      options: by name.
      allowed: their names.

    Raises:
      ValueError: for the first such option.

    Returns:
      None.

    Example:
      >>> check_names("rule 'tail'", {"cdf": "mid"}, ["amplitude", "cdf"])
    """
    for key in options:
        if key not in allowed:
            has = f"the options {', '.join(allowed)}" if allowed else "no options"
            raise ValueError(f"{owner} has {has}; got {key!r}")


def check_complete(owner: str, options: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Refuses options of which one without a default is missing.

    Args:
      owner: what has the options, for the message.
      options: by name.
      parameters: those of the factory that takes them, by name.

    Returns:
      None.

    Raises:
      ValueError: naming all that are missing.

    Example:
      >>> check_complete("rule 'power'", {"p": 1}, inspect.signature(lambda p: p).parameters)
    """
    missing = [key for key, one in parameters.items() if one.default is one.empty and key not in options]
    if missing:
        raise ValueError(f"{owner} needs the option{'s' if len(missing) > 1 else ''} {', '.join(missing)}")


def check_kinds(factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses words for numbers, and anything but true and false for a switch, which "no" would turn on.

    Factories check all other values themselves.

    Args:
      factory: its annotations say which options are numbers and which are switches.
      options: by name, as :func:`parse_spec` gives them.

    Returns:
      None.

    Raises:
      ValueError: for the first such option.

    Example:
      >>> def factory(scale: float = 1.0): ...
      >>> check_kinds(factory, {"scale": 2})
    """
    kinds = {float: "a number", bool: "true or false", types.NoneType: "none"}
    try:
        hints = get_type_hints(factory)
    except (NameError, TypeError):  # none, or a user's own whose annotations cannot be read
        hints = {}
    for key in options.keys() & hints.keys():
        value, allowed = options[key], get_args(hints[key]) or (hints[key],)
        kind_of_value = float if type(value) is int else type(value)
        if all(kind in kinds for kind in allowed) and kind_of_value not in allowed:
            raise ValueError(f"{key} must be {' or '.join(kinds[kind] for kind in allowed)}, got {value!r}")


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
