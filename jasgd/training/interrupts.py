"""Ctrl-C while a run ends: the first ends the run, and what comes later is held until the result exists.

SIGTERM, with which a process is asked to end, can be made to do what Ctrl-C does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from jasgd.record.result import BY_CTRL_C

BY_SIGTERM = "stopped by SIGTERM"
KEPT = "the run has ended, and what there is of it is being kept"


class Interrupts:
    """A context in which Ctrl-C raises KeyboardInterrupt where it is :meth:`taken`, and is held elsewhere.

    What it raises is raised once: later ones are held until :meth:`taken` is entered again, which raises them, so that
    no second one comes while the first is being handled. The handler that was there before is called for each, and is
    put back at the end. In a thread that is not the main one, which no signal comes to, and where Ctrl-C is ignored, it
    does nothing.

    Within another such context the inner one alone decides, so that a Ctrl-C means the same at any depth. When it ends,
    the outer one is told how many it held, and raises none until its own :meth:`taken` is entered again: what the inner
    one has come to could be lost on its way out.

    What is raised in a callback, as of the garbage collector or a weak reference, Python prints and goes on. That is
    held as well, and not printed.

    Args:
      says: what is being done while Ctrl-C is held, for the line that says so on standard error.

    Attributes:
      held: how many were held, and not raised since.

    Example:
      >>> with Interrupts() as interrupts:
      ...     try:
      ...         with interrupts.taken():
      ...             signal.raise_signal(signal.SIGINT)
      ...     except KeyboardInterrupt:
      ...         print("stopped")
      stopped
    """

    def __init__(self, says: str = KEPT) -> None:
        self.held = 0
        self._line = f"Ctrl-C: {says}; a moment\n".encode()
        self._takes = False
        self._raised = False  # since it was entered
        self._swallowed = 0  # of those that are held
        self._unsaid: list[None] = []  # nothing to say before anything was begun, as the next taken raises at once
        self._previous: Any = None
        self._hook: Any = sys.unraisablehook
        self._outer: Interrupts | None = None
        self._inner: Interrupts | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous, outer = previous, getattr(previous, "__self__", None)
                signal.signal(signal.SIGINT, self._handle)
                if isinstance(outer, Interrupts):
                    self._outer, outer._inner = outer, self
                    # What was swallowed there is to be raised, and this is what goes on there.
                    self.held, self._swallowed = self.held + outer._swallowed, outer._swallowed
                    outer.held, outer._swallowed = outer.held - outer._swallowed, 0
                self._hook, sys.unraisablehook = sys.unraisablehook, self._ignored
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is None:
            return
        if sys.unraisablehook == self._ignored:
            sys.unraisablehook = self._hook
        outer = self._outer
        if outer is not None:
            outer._takes, outer._inner = False, None  # before it is called again
        signal.signal(signal.SIGINT, self._previous)
        if outer is not None and self.held:  # which is final now
            outer.held += self.held
        self._previous = self._outer = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A context in which the first Ctrl-C raises KeyboardInterrupt, as does its entry after one that was held."""
        self._takes, self._raised, self._unsaid = True, False, [None]
        try:
            if self.held:
                self._takes, self.held, self._swallowed = False, 0, 0
                raise KeyboardInterrupt
            yield
        finally:
            self._takes = self._raised = False

    @contextlib.contextmanager
    def cut_short(self) -> Iterator[None]:
        """A context that the first Ctrl-C leaves without an exception, and that those held before do not concern.

        It is for what follows a result, and may be left out: the one that came is held after, as those before are.
        """
        self._takes, self._raised = True, False
        try:
            yield
        except KeyboardInterrupt:
            self.held += 1
        finally:
            self._takes = self._raised = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._inner is not None:  # which has called this one, as its previous handler
            self._previous(number, frame)
            return
        takes, self._takes = self._takes, False  # before anything is raised
        try:
            self._previous(number, frame)
        except KeyboardInterrupt:
            if takes:
                self._raised = True
                raise
            self.held += 1
            with contextlib.suppress(OSError, IndexError):
                self._unsaid.pop()  # in one step, as another signal may come within this one
                os.write(2, self._line)  # sys.stderr may be in the middle of a write
        else:
            self._takes = takes  # a handler of the caller's own, which raises nothing

    def _ignored(self, unraisable: Any) -> None:
        """Called for what is raised where Python cannot hand it on."""
        ours = self._raised and threading.current_thread() is threading.main_thread()
        if ours and isinstance(unraisable.exc_value, KeyboardInterrupt):
            self.held, self._swallowed = self.held + 1, self._swallowed + 1
            self._takes, self._raised = True, False
        else:
            self._hook(unraisable)


class Terminations:
    """A context in which SIGTERM does what Ctrl-C does, whatever that is at present; within the main thread alone.

    Where Ctrl-C is ignored, as in a job that a shell has put into the background, it stays so, and SIGTERM raises
    KeyboardInterrupt where Ctrl-C would. The handlers that were there before are put back at the end.

    Args:
      active: whether it does anything.

    Attributes:
      came: whether there was a SIGTERM.

    Raises:
      ValueError: in a thread that no signal comes to.

    Example:
      >>> with Terminations() as terminations:
      ...     try:
      ...         signal.raise_signal(signal.SIGTERM)
      ...     except KeyboardInterrupt:
      ...         print("stopped", terminations.came)
      stopped True
    """

    def __init__(self, active: bool = True):
        if active and threading.current_thread() is not threading.main_thread():
            raise ValueError("sigterm must be False in a thread that is not the main one, as no signal comes to it")
        self.came = False
        self._active, self._handling = active, False
        self._previous: Any = None
        self._ignored: Any = None

    @property
    def stopped_by(self) -> str:
        """How the message of a run says what has stopped it."""
        return BY_SIGTERM if self.came else BY_CTRL_C

    def __enter__(self) -> Terminations:
        if self._active:
            if not callable(signal.getsignal(signal.SIGINT)):
                self._ignored = signal.signal(signal.SIGINT, self._while_ignored)
            self._previous = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._active:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._previous is None else self._previous)
            if self._ignored is not None:
                signal.signal(signal.SIGINT, self._ignored)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came = self._handling = True
        outer = getattr(self._previous, "__self__", None)
        if isinstance(outer, Terminations):
            outer.came = True
        try:
            handler: Any = signal.getsignal(signal.SIGINT)
            handler(signal.SIGINT, frame)
        finally:
            self._handling = False

    def _while_ignored(self, number: int, frame: FrameType | None) -> None:
        if self._handling:
            raise KeyboardInterrupt
