"""Synchronization schemes, one file each; :data:`SCHEMES` has them by name."""

from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import NativeScheme, Scheme, SchemeFactory, Setup
from jasgd.schemes.factories import SCHEMES, describe, hogwild, leashed, locked, named, synchronous, unwrap
from jasgd.schemes.hogwild_sgd import Hogwild
from jasgd.schemes.leashed_sgd import Leashed
from jasgd.schemes.locked_sgd import Locked
from jasgd.schemes.sequential_sgd import Sequential
from jasgd.schemes.synchronous_sgd import Synchronous

__all__ = [
    "SCHEMES",
    "Closed",
    "Committed",
    "Dropped",
    "Gradient",
    "Hogwild",
    "Leashed",
    "Locked",
    "NativeScheme",
    "Scheme",
    "SchemeFactory",
    "Sequential",
    "Setup",
    "Snapshot",
    "Synchronous",
    "View",
    "describe",
    "hogwild",
    "leashed",
    "locked",
    "named",
    "synchronous",
    "unwrap",
]
