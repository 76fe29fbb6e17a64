"""The simulated scheme that a name, a text or a factory stands for."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable
from typing import Any

from jasgd import schemes
from jasgd.cluster.generation.asynchronous_schemes import BoundedStaleness, Hogwild, Leashed, Locked, Sequential
from jasgd.cluster.generation.round_schemes import KOfN, Synchronous
from jasgd.cluster.generation.run import ClusterRun
from jasgd.cluster.generation.simulated_scheme import SimulatedScheme
from jasgd.inputs import specs
from jasgd.showing import brief

#: name → simulated scheme; those that threads can run as well have the same name and options there.
SIMULATED: dict[str, type[SimulatedScheme]] = {
    scheme.name: scheme for scheme in (Sequential, Synchronous, Locked, Hogwild, Leashed, BoundedStaleness, KOfN)
}


def resolve(scheme: Any) -> tuple[str, Callable[[ClusterRun], SimulatedScheme]]:
    """The simulated scheme that ``generate(scheme=...)`` stands for.

    Args:
      scheme: a name or a text such as ``"leashed:persistence=3"``; what ``jasgd.schemes.leashed(...)`` and its like
        return; what :func:`bounded_staleness` and :func:`k_of_n` return; or a class of your own.

    Returns:
      The scheme as executions record it, and a function that makes it for a run.

    Raises:
      ValueError: for an unknown name or option.
      TypeError: for anything else.

    Example:
      >>> resolve("leashed:persistence=3")[0], resolve(schemes.hogwild(max_staleness=8))[0]
      ('leashed(persistence=3)', 'hogwild(max_staleness=8)')
    """
    if isinstance(scheme, str):
        name, options = specs.parse_spec(scheme)
        kind = specs.entry("scheme", SIMULATED, name)
    elif not callable(scheme):
        raise TypeError(f"scheme must be a name, or what makes a scheme, got {brief(repr(scheme))}")
    else:
        inner, options = schemes.unwrap(scheme)
        name = getattr(inner, "name", getattr(inner, "__name__", type(inner).__name__))
        if isinstance(inner, type) and issubclass(inner, SimulatedScheme):
            kind = inner
        elif inner in schemes.SCHEMES.values() or ("native" in options and name in SIMULATED):  # refused below
            kind = SIMULATED[name]
        else:
            raise TypeError(
                f"scheme must be one that is simulated, {', '.join(SIMULATED)}, or a class derived from "
                f"jasgd.cluster.SimulatedScheme, got {name}"
            )
    parameters = dict(list(inspect.signature(kind).parameters.items())[1:])  # after the run
    specs.check_names(f"scheme {name!r}", options, parameters)
    specs.check_complete(f"scheme {name!r}", options, parameters)
    options_text = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
    return f"{name}({options_text})" if options_text else str(name), lambda run: kind(run, **options)


def of_recorded(text: str) -> Callable[[ClusterRun], SimulatedScheme]:
    """The simulated scheme of a recorded run.

    Args:
      text: ``execution.metadata["scheme"]``. Whether rounds were native is left out, since it decides times alone.

    Returns:
      What ``generate(scheme=...)`` takes.

    Raises:
      ValueError: for a scheme that is not simulated, such as one of the user's own.

    Example:
      >>> resolve(of_recorded("leashed(persistence=3, native=False)"))[0]
      'leashed(persistence=3)'
    """
    name = text.partition("(")[0]
    if name not in SIMULATED:
        raise ValueError(
            f"scheme must be given, one of {', '.join(SIMULATED)}: that of the run, {text}, is not simulated"
        )
    call = ast.parse(text, mode="eval").body
    keywords = call.keywords if isinstance(call, ast.Call) else []
    options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in keywords}
    if options.get("reading") == "carry":  # which copies as well, but in the commit, and so are its times
        options["reading"] = "copy"
    return functools.partial(SIMULATED[name], **{key: value for key, value in options.items() if key != "native"})
