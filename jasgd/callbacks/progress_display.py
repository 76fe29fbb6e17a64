"""Shows how far a run is: a bar on a terminal, the same in a notebook, and lines in a file."""

from __future__ import annotations

import html
import types
from typing import TYPE_CHECKING, Any, Protocol, Self

from jasgd.callbacks.callback import Callback
from jasgd.callbacks.recent_progress import Progress as Numbers
from jasgd.callbacks.state import RunState
from jasgd.inputs.checks import positive
from jasgd.record.result import TrainResult

if TYPE_CHECKING:
    from rich.console import Console


class Progress(Callback):
    """Shows updates, updates a second, loss, mean τ, E[C], drops and the time left, on standard error.

    A terminal gets a bar, a notebook its HTML form, and a file or pipe a line every ``every_s`` seconds; all get one
    last line on how the run ended. In a ``with`` block the bar is there before the run begins, while it is compiled.

    Args:
      name: of the run.
      every_s: seconds between two lines where there is neither a terminal nor a notebook, > 0.

    Raises:
      ImportError: where rich is missing.
      TypeError, ValueError: for arguments that cannot work.

    Example:
      >>> Progress("digits")
      Progress('digits', every_s=10)
    """

    def __init__(self, name: str = "training", *, every_s: float = 10.0):
        from jasgd.callbacks import bars  # noqa: F401 (rich is an extra)

        self._name, self._every_s = str(name), positive("every_s", every_s)
        self._display: _Display | None = None

    def __repr__(self) -> str:
        return f"Progress({self._name!r}, every_s={self._every_s:g})"

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | types.TracebackType | None) -> None:
        self._close()

    def on_start(self, state: RunState) -> None:
        """Shows the bar."""
        self._open()

    def on_progress(self, state: RunState) -> None:
        """Moves the bar."""
        if self._display is not None:
            self._display.show(state.progress, state)

    def on_end(self, state: RunState) -> None:
        """Takes the bar away, and says how the run ended."""
        try:
            if self._display is not None and state.result is not None:
                self._display.finish(state.result)
        finally:
            self._close()

    def _open(self) -> None:
        if self._display is None:
            from jasgd.callbacks.bars import standard_error

            console = standard_error()
            kind = _Notebook if console.is_jupyter else _Terminal if console.is_terminal else _Lines
            self._display = kind(self._name, self._every_s, console)

    def _close(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.close()


class _Display(Protocol):
    def show(self, progress: Numbers, state: RunState) -> None: ...

    def finish(self, result: TrainResult) -> None: ...

    def close(self) -> None: ...


class _Terminal:
    def __init__(self, name: str, every_s: float, console: Console):
        from jasgd.callbacks.bars import TrainingBar

        self._name, self._bar = name, TrainingBar(console, runs=1)
        self._bar.__enter__()

    def show(self, progress: Numbers, state: RunState) -> None:
        self._bar.steps, self._bar.time_limit_s = state.steps, state.time_limit_s
        self._bar.show(self._name, progress, state.eta_s)

    def finish(self, result: TrainResult) -> None:
        self._bar.finish(self._name, result)

    def close(self) -> None:
        self._bar.__exit__(None, None, None)


class _Lines:
    def __init__(self, name: str, every_s: float, console: Console):
        self._name, self._every_s, self._console = name, every_s, console
        self._next_s = every_s

    def show(self, progress: Numbers, state: RunState) -> None:
        from jasgd.callbacks.bars import in_words

        if progress.time_s >= self._next_s:
            self._next_s = progress.time_s + self._every_s
            self._print(f"{self._name}: {in_words(progress, state.eta_s)}")

    def finish(self, result: TrainResult) -> None:
        from jasgd.callbacks.bars import ending_in_words

        self._print(ending_in_words(self._name, result))

    def close(self) -> None:
        pass

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Notebook:
    """A bar in HTML that is replaced in its place; rich's own form of it would need ipywidgets."""

    def __init__(self, name: str, every_s: float, console: Console):
        from IPython.display import HTML, display

        self._name, self._html = name, HTML
        self._shown: Any = display(HTML(_bar(name, None, "compiling")), display_id=True)

    def show(self, progress: Numbers, state: RunState) -> None:
        from jasgd.callbacks.bars import in_words, share_of

        share = share_of(progress, state.steps, state.time_limit_s)
        self._update(_bar(self._name, share, in_words(progress, state.eta_s)))

    def finish(self, result: TrainResult) -> None:
        from jasgd.callbacks.bars import ending_in_words

        self._update(f"<div>{html.escape(ending_in_words(self._name, result))}</div>")

    def close(self) -> None:
        pass

    def _update(self, text: str) -> None:
        self._shown.update(self._html(text))


def _bar(name: str, share: float | None, status: str) -> str:
    value = "" if share is None else f' value="{share:.4f}"'
    return f"<div>{html.escape(name)} <progress max='1'{value}></progress> {html.escape(status)}</div>"
