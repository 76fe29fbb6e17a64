"""Making a scheme for a run, and choosing native rounds where the caller leaves that open and they are faster."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import jax
import optax

from jasgd.core.compiled import Compiled
from jasgd.core.ledger import Ledger
from jasgd.core.recycling import LARGE
from jasgd.core.scheme import Scheme, SchemeFactory, Setup
from jasgd.inputs.checks import described
from jasgd.jax_settings import processors
from jasgd.schemes.hogwild_sgd import Hogwild
from jasgd.schemes.leashed_sgd import Leashed
from jasgd.schemes.locked_sgd import Locked
from jasgd.schemes.sequential_sgd import Sequential
from jasgd.schemes.synchronous_sgd import Synchronous


def make(factory: SchemeFactory, setup: Setup) -> Scheme:
    """The scheme that a factory makes.

    Args:
      factory: what ``train(scheme=...)`` takes.
      setup: what the scheme is given to work with.

    Returns:
      The scheme.

    Raises:
      TypeError: for what is no function of a Setup, such as ``leashed`` instead of ``leashed()``, or makes no scheme.
    """
    _require_one_argument(factory)
    scheme = choose(factory, setup) or factory(setup)
    if not isinstance(scheme, Scheme):
        raise TypeError(f"scheme must make a jasgd.schemes.Scheme of a Setup, got {type(scheme).__name__}")
    if not scheme.is_set_up:
        raise TypeError(f"scheme must call super().__init__(setup), which {type(scheme).__name__} does not")
    return scheme


def check(factory: Any, workers: int) -> None:
    """Refuses what is no scheme, and options of the library's own that are out of their ranges, without a run.

    Args:
      factory: what ``train(scheme=...)`` takes.
      workers: number of workers.

    Returns:
      None.

    Raises:
      TypeError: for what is no function of a Setup, such as ``leashed`` instead of ``leashed()``.
      ValueError: for options out of their ranges, or a number of workers that the scheme cannot have.

    Example:
      >>> check(Leashed, workers=2)
    """
    if not callable(factory):
        raise TypeError(f"scheme must be a name or a function of a Setup, got {described(factory)}")
    _require_one_argument(factory)
    kind, options = _inside(factory)
    if getattr(kind, "__module__", "").startswith("jasgd.schemes.native"):  # its options are those of this class
        kind, options = WITH_NATIVE[kind.name], {k: v for k, v in options.items() if k != "native"}
    if kind in (Sequential, *WITH_NATIVE.values()):
        kind(Setup((), (), _nothing(), Ledger(workers), workers), **options)


@functools.cache
def _nothing() -> Compiled:
    """The functions of a problem without parameters."""
    empty = jax.tree.structure(())
    return Compiled(
        lambda params, batch: 0.0, optax.with_extra_args_support(optax.identity()), empty, empty, False, False, False
    )


def _require_one_argument(factory: Any) -> None:
    name = getattr(factory, "__name__", type(factory).__name__)
    signature = inspect.signature(factory)
    try:
        signature.bind(None)
    except TypeError as error:
        if signature.return_annotation in ("SchemeFactory", SchemeFactory):
            raise TypeError(f"scheme must be what {name}(...) returns, got {name} itself: call it") from None
        raise TypeError(f"scheme must be a name or a function of a Setup, got {name}{signature}") from error


WITH_NATIVE: dict[str, type] = {scheme.name: scheme for scheme in (Locked, Hogwild, Leashed, Synchronous)}


def native_class(name: str) -> SchemeFactory:
    """The class of a name in :data:`WITH_NATIVE` whose rounds are native."""
    from jasgd.schemes.native import NATIVE  # imported only where it is needed

    return NATIVE[name]


#: Bytes of a parameter's array, in the mean, below which it takes longer to hand it to JAX than to copy it; measured.
SMALL_ARRAY = 1 << 16
#: Bytes that a native round may copy where that is so: for more the system has to find fresh memory in every round.
MOST_COPIED = 32 << 20


def choose(factory: SchemeFactory, setup: Setup) -> Scheme | None:
    """The scheme in native rounds, where a factory leaves that open, they are possible, and they are faster.

    They cost three copies of the parameters a gradient, two of the optimizer state, synchronous ones a copy for every
    worker besides, and the interpreter's part of one; the copies are what matters once the parameters do not fit a
    processor's cache. Python's rounds hand each array to JAX and take it back, several times a gradient, which costs
    more than to copy it where it is small; but for synchronous ones, whose many copies still cost more.

    Args:
      factory: what ``train(scheme=...)`` takes.
      setup: what the scheme is given; its ``why_not_native`` is written to, and where it says something already, that
        holds.

    Returns:
      The scheme, or None.

    Raises:
      ValueError: for options out of their ranges.
    """
    kind, options = _inside(factory)
    name = next((name for name, scheme in WITH_NATIVE.items() if scheme is kind), None)
    if name is None or options.pop("native", None) is not None or setup.why_not_native:
        return None
    if why := _too_much_to_copy(kind, setup):
        setup.why_not_native = why
        return None
    if kind is Synchronous and setup.workers > processors():
        setup.why_not_native = (
            f"{setup.workers} workers of {processors()} processors: each would compute the mean's update"
        )
        return None
    from jasgd.schemes.native import CannotCompile, Unfit

    try:
        return native_class(name)(setup, **options)
    except (CannotCompile, Unfit) as error:
        setup.why_not_native = str(error)
        return None


def _too_much_to_copy(kind: Any, setup: Setup) -> str:
    """Why copies of parameters and optimizer state cost more than Python's rounds do; empty where they do not."""
    size, state = (sum(leaf.nbytes for leaf in leaves) for leaves in (setup.params, setup.state))
    if size < LARGE:
        return ""
    taken = f"the parameters take {size:,} bytes"
    if kind is Synchronous or size >= SMALL_ARRAY * len(setup.params):
        return f"{taken}, and {LARGE:,} are many"
    if 3 * size + 2 * state > MOST_COPIED:
        return f"{taken}, and the optimizer state {state:,}, which are many to copy for each gradient"
    return ""


def _inside(factory: SchemeFactory) -> tuple[Any, dict[str, Any]]:
    """What is called in the end, and with which keywords; what is watched or logged is not looked into."""
    inner: Any = factory
    options: dict[str, Any] = {}
    while isinstance(inner, functools.partial) and not inner.args:
        inner, options = inner.func, inner.keywords | options
    return inner, options
