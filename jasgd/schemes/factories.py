"""Schemes by name and with options: what ``train(scheme=...)`` takes."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from jasgd.core.scheme import SchemeFactory
from jasgd.inputs import specs
from jasgd.schemes.hogwild_sgd import Hogwild
from jasgd.schemes.leashed_sgd import Leashed
from jasgd.schemes.locked_sgd import Locked
from jasgd.schemes.selection import WITH_NATIVE, native_class
from jasgd.schemes.sequential_sgd import Sequential
from jasgd.schemes.synchronous_sgd import Synchronous

#: Every scheme that threads run, by the name that ``jasgd.train(scheme=…)`` takes.
SCHEMES: dict[str, SchemeFactory] = {
    "sequential": Sequential,
    "synchronous": Synchronous,
    "locked": Locked,
    "hogwild": Hogwild,
    "leashed": Leashed,
}


def named(name: str, **options: Any) -> SchemeFactory:
    """The scheme of a name, with options: what ``train(scheme=...)`` takes.

    Args:
      name: a key of :data:`SCHEMES`, with options after it as on the command line, ``leashed:persistence=3``, or
        without.
      **options: keywords of the scheme's class, for instance ``persistence=3``; ``native`` may be None as well, which
        leaves it to ``train``.

    Returns:
      A factory.

    Raises:
      ValueError: for an unknown name or option, and for ``native`` that is none of True, False and None.

    Example:
      >>> describe(named("leashed", persistence=3))
      'leashed(persistence=3)'
    """
    name, written = specs.parse_spec(name)
    options = written | options
    factory = specs.entry("scheme", SCHEMES, name)
    if name in WITH_NATIVE and "native" in options:
        if not isinstance(options["native"], bool | None):
            raise ValueError(f"scheme {name!r}: native must be true, false or none, got {options['native']!r}")
        factory = native_class(name) if options["native"] else factory
    allowed = [p for p in inspect.signature(factory).parameters if p != "setup"]
    specs.check_names(f"scheme {name!r}", options, allowed)
    options = {key: value for key, value in options.items() if (key, value) != ("native", None)}
    return functools.partial(factory, **options) if options else factory


def parse_scheme(text: str) -> SchemeFactory:
    """The scheme that a text names.

    Args:
      text: ``name:key=value,…`` with a name and options of :data:`jasgd.schemes.SCHEMES`.

    Returns:
      What ``train(scheme=...)`` takes.

    Raises:
      ValueError: for an unknown name or option; values are checked by ``train``.

    Example:
      >>> describe(parse_scheme("leashed:persistence=3"))
      'leashed(persistence=3)'
    """
    return named(text)


def as_factory(scheme: str | SchemeFactory) -> SchemeFactory:
    """The scheme that an argument ``scheme`` names, or is.

    Args:
      scheme: a name, a text such as ``"leashed:persistence=3"``, or what makes a scheme of a Setup.

    Returns:
      What makes one; it is not checked.

    Raises:
      ValueError: for an unknown name or option.

    Example:
      >>> describe(as_factory("hogwild:max_staleness=8"))
      'hogwild(max_staleness=8)'
    """
    return named(scheme) if isinstance(scheme, str) else scheme


def leashed(
    *, persistence: int | None = None, max_staleness: int | None = None, native: bool | None = None
) -> SchemeFactory:
    """Leashed-SGD, see :class:`Leashed`.

    Args:
      persistence: failed publications after which a gradient is dropped is one more than this, ≥ 0; None: no bound.
      max_staleness: gradients staler than this are dropped, in updates, ≥ 0; None drops none.
      native: whether a worker's round is one compiled call, see :class:`jasgd.schemes.native.NativeStore`. None: where
        that is possible, which takes a C++ compiler once, and faster: where the parameters are below 1 MiB, or in many
        small arrays.

    Returns:
      What ``train(scheme=...)`` takes; values are checked there.

    Example:
      >>> describe(leashed(persistence=3, max_staleness=32))
      'leashed(persistence=3, max_staleness=32)'
    """
    return named("leashed", persistence=persistence, max_staleness=max_staleness, native=native)


def locked(*, reading: Any = "copy", max_staleness: int | None = None, native: bool | None = None) -> SchemeFactory:
    """Lock-based AsyncSGD, see :class:`Locked`.

    Args:
      reading: ``"copy"`` as published, ``"reference"``, or ``"carry"``, which is never native; see :class:`Locked`.
      max_staleness: gradients staler than this are dropped, in updates, ≥ 0; None drops none.
      native: whether a worker's round is one compiled call, see :class:`jasgd.schemes.native.NativeStore`. None: where
        that is possible, which takes a C++ compiler once, and faster: where the parameters are below 1 MiB, or in many
        small arrays.

    Returns:
      What ``train(scheme=...)`` takes; values are checked there.

    Example:
      >>> describe(locked())
      "locked(reading='copy')"
    """
    return named("locked", reading=reading, max_staleness=max_staleness, native=native)


def hogwild(*, max_staleness: int | None = None, native: bool | None = None) -> SchemeFactory:
    """Hogwild!, see :class:`Hogwild`.

    Args:
      max_staleness: gradients staler than this are dropped, in updates, ≥ 0; None drops none.
      native: whether a worker's round is one compiled call, see :class:`jasgd.schemes.native.NativeStore`. None: where
        that is possible, which takes a C++ compiler once, and faster: where the parameters are below 1 MiB, or in many
        small arrays.

    Returns:
      What ``train(scheme=...)`` takes; values are checked there.

    Example:
      >>> describe(hogwild())
      'hogwild'
    """
    return named("hogwild", max_staleness=max_staleness, native=native)


def synchronous(*, native: bool | None = None) -> SchemeFactory:
    """Synchronous SGD, see :class:`Synchronous`.

    Args:
      native: whether a worker's round is one compiled call, see :class:`jasgd.schemes.native.NativeSynchronous`. None:
        where that is possible, which takes a C++ compiler once, and faster: for parameters below 1 MiB, and as many
        processors as workers.

    Returns:
      What ``train(scheme=...)`` takes; values are checked there.

    Example:
      >>> describe(synchronous())
      'synchronous'
    """
    return named("synchronous", native=native)


def unwrap(factory: SchemeFactory) -> tuple[Any, dict[str, Any]]:
    """What is inside a factory: the scheme's class, and the options that were given.

    Args:
      factory: what ``train(scheme=...)`` takes.

    Returns:
      The innermost factory, of a built-in scheme its class; and its keywords.

    Example:
      >>> inner, options = unwrap(leashed(persistence=3))
      >>> inner.name, options
      ('leashed', {'persistence': 3, 'max_staleness': None})
    """
    options: dict[str, Any] = {}
    inner: Any = factory
    while True:
        if isinstance(inner, functools.partial):
            options = inner.keywords | options
            inner = inner.func
        elif hasattr(inner, "__wrapped__"):  # watched or logged, see jasgd.testing
            inner = inner.__wrapped__
        else:
            return inner, options


def describe(factory: SchemeFactory) -> str:
    """A scheme's name with the options that are set, as executions record it.

    Args:
      factory: what ``train(scheme=...)`` takes.

    Returns:
      The description.

    Example:
      >>> describe(Sequential)
      'sequential'
    """
    inner, options = unwrap(factory)
    named_so = getattr(inner, "name", "")  # of a scheme's class, or of a function that makes one
    name = named_so if isinstance(named_so, str) and named_so else getattr(inner, "__name__", type(inner).__name__)
    listed = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
    return f"{name}({listed})" if listed else name
