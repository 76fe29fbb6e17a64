"""Durations and the like in text, as on the command line: ``gamma:mean_s=0.01,shape=4``, or a number of seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jasgd.cluster.durations import Duration, as_duration, constant, exponential, gamma, lognormal
from jasgd.inputs import specs

DURATIONS: dict[str, Callable[..., Duration]] = {
    "constant": constant,
    "exponential": exponential,
    "gamma": gamma,
    "lognormal": lognormal,
}


def parse_duration(text: str, **defaults: float) -> Duration:
    """The law of durations that a text names.

    Args:
      text: a number of seconds, or ``name:key=value,…`` with a name of :data:`DURATIONS` and the options of that law.
      **defaults: options that the text may leave out.

    Returns:
      The law.

    Raises:
      ValueError: for an unknown name or option, a missing one, or a value that the law refuses.

    Example:
      >>> parse_duration("0.5"), parse_duration("lognormal:sigma=0.7", mean_s=1.0)
      (Constant(mean_s=0.5), LogNormal(mean_s=1.0, sigma=0.7))
    """
    try:
        return constant(float(text))
    except ValueError as error:
        if "must be" in str(error):  # a number, and one that cannot be
            raise
    name, options = specs.parse_spec(text)
    if name not in DURATIONS:
        raise ValueError(f"a duration must be a number of seconds or one of {', '.join(DURATIONS)}, got {text!r}")
    return _constructed(text, f"duration {name!r}", DURATIONS[name], options, defaults)


def parse_options(text: str, kind: Callable[..., Any]) -> Any:
    """An object of a class, made with the options of a text, as ``probability=0.01,slowdown=10`` for Stragglers.

    Args:
      text: ``key=value,key=value``; a value is a number, or text.
      kind: the class, or a function that takes the options.

    Returns:
      The object.

    Raises:
      ValueError: for an unknown option, a missing one, or a value that is refused.

    Example:
      >>> from jasgd.cluster import Nodes
      >>> parse_options("count=2,remote=1.5", Nodes)
      Nodes(count=2, remote=1.5, home=None)
    """
    return _constructed(text, kind.__name__, kind, specs.parse_spec(f":{text}")[1], {})


def parse_times(text: str) -> dict[int, float]:
    """Seconds by worker, as in ``0=2.5,3=4``.

    Args:
      text: ``worker=seconds,worker=seconds``.

    Returns:
      The mapping.

    Raises:
      ValueError: for a worker that is no integer, or seconds that are no number.

    Example:
      >>> parse_times("0=2.5,3=4")
      {0: 2.5, 3: 4.0}
    """
    try:
        return {int(worker): float(time_s) for worker, time_s in specs.parse_spec(f":{text}")[1].items()}
    except (TypeError, ValueError):
        raise ValueError(f"times must be written worker=seconds,worker=seconds, got {text!r}") from None


def duration(name: str, value: Any) -> Duration:
    """The law that an argument is, or that its number of seconds or its text means.

    Args:
      name: of the argument, for messages.
      value: what the caller passed.

    Returns:
      The law.

    Raises:
      TypeError, ValueError: for anything else, naming the argument.

    Example:
      >>> duration("read_s", "exponential:mean_s=0.5")
      Exponential(mean_s=0.5)
    """
    return named(name, parse_duration, value) if isinstance(value, str) else as_duration(name, value)


def named(name: str, parse: Callable[..., Any], text: str, *args: Any, **options: Any) -> Any:
    """What a text means to a function of this module, whose errors then name the argument that it was.

    Args:
      name: of the argument.
      parse: the function.
      text: what it reads.
      *args: what it takes besides.
      **options: likewise, by name.

    Returns:
      What the function returns.

    Raises:
      ValueError: where the function does.

    Example:
      >>> named("joins_s", parse_times, "0=2.5")
      {0: 2.5}
    """
    try:
        return parse(text, *args, **options)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _constructed(
    text: str, owner: str, kind: Callable[..., Any], options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Any:
    try:
        return specs.make(owner, kind, options, known=defaults)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r}: {error}") from error
