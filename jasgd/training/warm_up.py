"""Compiling what a run calls before its clock starts, and measuring how long a gradient takes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.devices import Placement
from jasgd.core.finiteness import are_finite
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Gradient, View
from jasgd.core.scheme import NativeScheme, Scheme

ELSEWHERE_S = 0.001  # of a gradient that is computed elsewhere, at least: what the way to it and back takes


def warm_up(
    compiled: Compiled,
    scheme: Scheme,
    ledger: Ledger,
    leaves: Leaves,
    batch_of: Callable[[int], Any],
    placement: Placement | None = None,
) -> float:
    """Compiles before the clock starts, since every worker would compile at once; gives a gradient's time in s.

    Args:
      compiled: the traced functions.
      scheme: what commits.
      ledger: the bookkeeping.
      leaves: initial leaves of the parameters.
      batch_of: a mini-batch of each worker, as the worker will be given its own.
      placement: where workers compute, where some do not where the parameters are.

    Returns:
      The time of a gradient, on the slowest device, in seconds.
    """
    if isinstance(scheme, NativeScheme):
        return scheme.rehearse()
    from jasgd.schemes.native.finite import native_look  # imported only where it is needed

    params, _ = compiled.parted(leaves)
    ledger.health.look_with(native_look(params) or are_finite)
    # One worker on each device; JAX compiles for each.
    on_each = range(1) if placement is None else [placement.of_worker.index(device) for device in placement.used]
    gradient_s = 0.0
    for worker in on_each:
        compute, batch = _computing(compiled, placement, worker), batch_of(worker)
        loss, _, grads = jax.block_until_ready(compute(leaves, batch))
        scheme.warm_up(Gradient(worker, 0, View(0, leaves), grads, loss, float(loss)))
        del grads  # before the next ones are there
        started = time.perf_counter()
        jax.block_until_ready(compute(leaves, batch))
        gradient_s = max(gradient_s, time.perf_counter() - started)
    ledger.health.adapt(params, ledger.workers, gradient_s)
    return gradient_s


def warm_up_commits(compiled: Compiled, scheme: Scheme, ledger: Ledger, leaves: Leaves, batch: Any) -> None:
    """Compiles what commits call where gradients are computed elsewhere, on a gradient of zeros.

    Args:
      compiled: the traced functions.
      scheme: what commits.
      ledger: the bookkeeping.
      leaves: initial leaves of the parameters.
      batch: a mini-batch, of which only the shapes are looked at.
    """
    from jasgd.schemes.native.finite import native_look  # imported only where it is needed

    params, _ = compiled.parted(leaves)
    ledger.health.look_with(native_look(params) or are_finite)
    loss, _, grads = jax.tree.map(_zeros, jax.eval_shape(compiled.gradient, leaves, batch))
    scheme.warm_up(Gradient(0, 0, View(0, leaves), grads, loss, 0.0))
    ledger.health.adapt(params, ledger.workers, ELSEWHERE_S)


def _zeros(like: Any) -> Any:
    """Zeros as a gradient that comes from elsewhere: an array of strong type."""
    return jnp.array(np.zeros(like.shape, like.dtype))


def _computing(compiled: Compiled, placement: Placement | None, worker: int) -> Callable[..., Any]:
    if placement is None:
        return compiled.gradient
    return functools.partial(placement.gradient, compiled.gradient, worker)
