"""Compiling what a run calls before its clock starts, and measuring how long a gradient takes."""

from __future__ import annotations

import time
from typing import Any

import jax

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.finiteness import are_finite
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Gradient, View
from jasgd.core.scheme import NativeScheme, Scheme


def warm_up(compiled: Compiled, scheme: Scheme, ledger: Ledger, leaves: Leaves, batch: Any) -> float:
    """Compiles before the clock starts, since every worker would compile at once; gives a gradient's time in s."""
    if isinstance(scheme, NativeScheme):
        return scheme.rehearse()
    from jasgd.schemes.native.finite import native_look  # imported only where it is needed

    loss, _, grads = jax.block_until_ready(compiled.gradient(leaves, batch))
    scheme.warm_up(Gradient(0, 0, View(0, leaves), grads, loss, float(loss)))
    del grads  # before the next ones are there
    started = time.perf_counter()
    jax.block_until_ready(compiled.gradient(leaves, batch))
    gradient_s = time.perf_counter() - started
    params, _ = compiled.parted(leaves)
    ledger.health.adapt(params, ledger.workers, native_look(params) or are_finite, gradient_s)
    return gradient_s
