"""What a traced function computes, as a value that can be compared: two equal ones compile to the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jasgd.record.trees import plain

Fingerprint = tuple[Any, ...]
_SMALL = 64  # bytes up to which an array is compared as it is, and not by its checksum
# What these hold are functions for derivatives, which are taken already where they are needed.
_DERIVED = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


class _Incomparable(Exception):
    """Something in a program has an identity, and no value."""


def fingerprint(program: ClosedJaxpr) -> Fingerprint | None:
    """The operations of a traced function with their constants, without names and places in source code.

    Args:
      program: of ``jax.make_jaxpr``; where it is to be differentiated, its derivative has to be in it.

    Returns:
      A value that holds neither the function nor arrays of it; None where no value can say what is computed, as with
      calls of the host.

    Example:
      >>> def traced(scale):
      ...     return jax.make_jaxpr(lambda x: scale * x)(1.0)
      >>> fingerprint(traced(2.0)) == fingerprint(traced(2.0)), fingerprint(traced(2.0)) == fingerprint(traced(3.0))
      (True, False)
    """
    try:
        return _closed(program)
    except _Incomparable:
        return None


def _closed(program: ClosedJaxpr) -> Fingerprint:
    return _of(program.jaxpr), tuple(map(_array, program.consts))


def _of(jaxpr: Jaxpr) -> Fingerprint:
    numbers: dict[Any, int] = {}

    def named(variables: Any) -> Fingerprint:
        return tuple((numbers.setdefault(one, len(numbers)), _aval(one.aval)) for one in variables)

    def atom(one: Any) -> Any:
        return (_aval(one.aval), _array(one.val)) if isinstance(one, Literal) else numbers[one]

    inputs = named((*jaxpr.constvars, *jaxpr.invars))
    operations = tuple(
        (
            equation.primitive,
            tuple(map(atom, equation.invars)),
            named(equation.outvars),
            _params(equation.primitive.name, equation.params),
            tuple(sorted(map(str, equation.effects))),
        )
        for equation in jaxpr.eqns
    )
    return inputs, operations, tuple(map(atom, jaxpr.outvars))


def _params(primitive: str, params: Mapping[str, Any]) -> Fingerprint:
    items = sorted(params.items())
    if primitive in _DERIVED:
        items = [(name, value) for name, value in items if isinstance(value, (ClosedJaxpr, Jaxpr, bool, int))]
    return tuple((name, _value(value)) for name, value in items if name != "name")


def _value(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return _closed(value)
    if isinstance(value, Jaxpr):
        return _of(value)
    if type(value).__name__ == "PRNGImpl":  # a tuple of JAX's own functions, which is the same for all keys of a kind
        return value
    if isinstance(value, (tuple, list)):
        return type(value).__name__, tuple(map(_value, value))
    if isinstance(value, Mapping):
        return tuple((key, _value(one)) for key, one in sorted(value.items(), key=lambda item: str(item[0])))
    if isinstance(value, (np.ndarray, jax.Array)):
        return _array(value)
    if callable(value) and not isinstance(value, (type, jax.sharding.Mesh)):  # such as a function on the host
        raise _Incomparable
    try:
        hash(value)
    except TypeError:
        raise _Incomparable from None
    return type(value).__name__, value  # a number of another type is another one: True is 1


def _aval(aval: Any) -> str:
    return f"{aval} {getattr(aval, 'weak_type', False)} {getattr(aval, 'sharding', None)}"


def _array(value: Any) -> Any:
    """A constant by its bytes: an array of NumPy's may be changed where it lies, and traced anew it is a new one."""
    try:
        array = np.ascontiguousarray(plain(value))
    except Exception:  # a reference, or a token
        raise _Incomparable from None
    if array.dtype.hasobject:
        raise _Incomparable
    if array.nbytes > _SMALL:
        content = hashlib.blake2b(array.reshape(-1).view(np.uint8).data, digest_size=16).digest()
    else:
        content = array.tobytes()
    return str(getattr(value, "dtype", type(value).__name__)), np.shape(array), content
