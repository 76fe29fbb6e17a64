"""Schemes whose workers' rounds are compiled calls, which need no Python between read and commit."""

from jasgd.schemes.native.asynchronous import NativeHogwild, NativeLeashed, NativeLocked
from jasgd.schemes.native.library_files import CannotCompile
from jasgd.schemes.native.store import NativeStore, Unfit
from jasgd.schemes.native.synchronous import NativeSynchronous

NATIVE = {scheme.name: scheme for scheme in (NativeLocked, NativeHogwild, NativeLeashed, NativeSynchronous)}

__all__ = ["NATIVE", "CannotCompile", "NativeStore", "Unfit"]
