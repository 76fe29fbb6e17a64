"""Every scheme as a parameter of a test, and one whose interleaving is forced."""

import os
import shutil

import pytest

from jasgd import schemes
from jasgd.schemes.native.library_files import COMPILERS
from jasgd.schemes.selection import WITH_NATIVE
from jasgd.testing import Interleaving, watched

#: for tests that compile native.cc
needs_compiler = pytest.mark.skipif(
    not (os.environ.get("CXX") or any(map(shutil.which, COMPILERS))), reason="needs a C++ compiler"
)
NATIVE = {f"{name}, native": schemes.named(name, native=True) for name in WITH_NATIVE}
#: every scheme; where there are native rounds, the name alone is without
EVERY = {
    name: schemes.named(name, **{"native": False} if name in WITH_NATIVE else {}) for name in schemes.SCHEMES
} | NATIVE


def ids(names):
    """Names of schemes as parameters; native ones need a compiler."""
    return [pytest.param(name, marks=needs_compiler if "native" in name else ()) for name in names]


def overtaken(setup):
    """Leashed-SGD in which worker 1 is overtaken at its first gradient, and commits it before worker 0 goes on."""
    overtaking = Interleaving([(1, "read"), (0, "read"), (0, "publish"), (1, "publish"), (1, "read"), (0, "read")])
    return watched(schemes.leashed(), overtaking)(setup)
