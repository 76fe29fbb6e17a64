"""Compiled functions that the runs of a process share, as long as the functions that they were made of are there.

What JAX has compiled it finds again if the very same compiled function is called. So runs of the same functions have to
get the same ones. Which these are the identity of loss function and transformation says, and what they compute now: a
function may read a variable that was changed meanwhile, and what was compiled of it before is then another function.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from jasgd.compiling.fingerprints import Fingerprint
from jasgd.compiling.weak_functions import WeakFunction, identity_of, when_gone

Made = TypeVar("Made")
VARIANTS = 8  # of the same functions, such as for another shape of mini-batches; the oldest goes first


class _Variant(NamedTuple, Generic[Made]):
    computes: Hashable
    made: Made
    is_large: bool


@dataclasses.dataclass
class _Family(Generic[Made]):
    """All that was made of the same functions."""

    functions: tuple[WeakFunction, ...]
    kept: tuple[Any, ...]  # what has it removed with the first of the functions that is gone
    variants: list[_Variant[Made]]


class Shared(Generic[Made]):
    """What was made of functions, found again by them.

    Guarantees. Any number of threads may call :meth:`get`. Nothing that was made is kept once one of its functions is
    gone, so what is made must not hold them: it is given references that do not.

    Example:
      >>> def loss(x):
      ...     return x
      >>> shared = Shared()
      >>> made = [shared.get([loss], "float32[3]", lambda weak: object()) for _ in range(2)]
      >>> made[0] is made[1], len(shared)
      (True, 1)
      >>> del loss
      >>> len(shared)
      0
    """

    def __init__(self) -> None:
        self._families: dict[tuple[tuple[int, ...], ...], _Family[Made]] = {}
        self._mutex = threading.RLock()  # what is collected as garbage meanwhile has entries removed by this thread

    def __len__(self) -> int:
        return sum(len(family.variants) for family in list(self._families.values()))

    def get(
        self,
        functions: Sequence[Any],
        computes: Hashable,
        make: Callable[[Sequence[WeakFunction]], Made],
        *,
        is_large: bool = False,
    ) -> Made | None:
        """What was made of these functions, or is made now.

        Args:
          functions: the functions, which the caller holds.
          computes: all else that decides what is made; equal where the same would be made.
          make: makes it of the functions, in the same order.
          is_large: whether it takes much memory; of what does only the newest is kept.

        Returns:
          What was made; None where no weak reference can be made of one of the functions.
        """
        key = tuple(map(identity_of, functions))
        with self._mutex:
            family = self._families.get(key)
            if family is None or not all(w.is_of(f) for w, f in zip(family.functions, functions, strict=True)):
                try:
                    weak = tuple(map(WeakFunction, functions))
                    kept = tuple(when_gone(function, lambda: self._remove(key)) for function in functions)
                except TypeError:
                    return None
                family = self._families[key] = _Family(weak, kept, [])
            for known in family.variants:
                if known.computes == computes:
                    return known.made
            made = make(family.functions)
            others = [known for known in family.variants if not (is_large and known.is_large)]
            family.variants[:] = [*others, _Variant(computes, made, is_large)][-VARIANTS:]
            return made

    def forget(self, functions: Sequence[Any], made: Made) -> None:
        """Makes it anew when it is asked for next.

        Args:
          functions: the functions that it was made of.
          made: what :meth:`get` gave of them.
        """
        with self._mutex:
            if (family := self._families.get(tuple(map(identity_of, functions)))) is not None:
                family.variants[:] = [known for known in family.variants if known.made is not made]

    def clear(self) -> None:
        """Lets go of all; what is asked for afterwards is made anew."""
        with self._mutex:
            self._families.clear()

    def _remove(self, key: tuple[tuple[int, ...], ...]) -> None:
        # Without the mutex, as this may be any thread, at any time; taking out of a dict is atomic.
        self._families.pop(key, None)


def comparable(*parts: Fingerprint | None, facts: Hashable) -> Hashable | None:
    """What decides what is compiled, as one value; None where a part cannot be compared, or a fact cannot be hashed."""
    if any(part is None for part in parts):
        return None
    try:
        hash(facts)
    except TypeError:
        return None
    return (*parts, facts)
