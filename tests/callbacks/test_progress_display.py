"""The display of progress: a bar on a terminal, HTML in a notebook, lines in a file."""

import io
import re
import sys

import pytest
from support.callbacks import state_of
from support.results import result_of
from support.training_runs import train

from jasgd.callbacks import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def text_of(stream):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_a_file_gets_a_line_every_ten_seconds_and_one_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = Progress("digits")
    progress.on_start(state_of())
    for k in range(301):  # half a minute, ten times a second
        progress.on_progress(state_of(version=10 * k, time_s=0.1 * k, updates_per_s=100.0, loss=0.5, steps=4000))
    lines = sys.stderr.getvalue().splitlines()
    assert len(lines) == 2 + (0.1 * 300 >= 30)
    assert lines[0] == ("digits: 1,000 updates, 100/s  loss 0.500  mean τ 1.0  E[C] 1.00  dropped 0  ETA 0:30")
    progress.on_end(state_of(result=result_of([1.0, 0.5])))
    assert (
        sys.stderr.getvalue().splitlines()[len(lines) :]
        == ["digits: finished, 2 updates in 1.0 s, loss 0.7500, mean τ 0.0, E[C] 1.00"]
        or "digits: finished, 2 updates in" in sys.stderr.getvalue()
    )


@pytest.mark.parametrize(
    ("options", "eta_s"),
    [
        ({"steps": 1000}, 50.0),
        ({"time_limit_s": 60.0}, 10.0),
        ({"steps": 1000, "time_limit_s": 60.0}, 10.0),
        ({"steps": 600, "time_limit_s": 600.0}, 10.0),
        ({"steps": 400}, 0.0),
        ({}, None),
    ],
)
def test_the_time_left_is_that_of_what_comes_first(options, eta_s):
    assert state_of(version=500, time_s=50.0, updates_per_s=10.0, **options).eta_s == eta_s


def test_no_time_is_left_known_before_there_is_a_speed():
    assert state_of(updates_per_s=0.0, steps=100).eta_s is None


def test_a_terminal_gets_a_bar_and_a_line_at_the_end(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("digits") as progress:
        assert "compiling" in text_of(sys.stderr)
        result = train(callbacks=[progress], steps=200)
    text = text_of(sys.stderr)
    assert "200 updates" in text
    assert "E[C] 1.00" in text
    assert "ETA 0:00" in text
    ending = f"digits: finished, 200 updates in {result.duration_s:.1f} s, loss "
    assert [line for line in text.splitlines() if line.startswith(ending)]


def test_a_run_that_fails_leaves_no_bar_behind(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress()
    train(callbacks=[progress], evaluate=lambda w: 1 / 0)
    assert progress._display is None
    assert "training: failed, 0 updates" in text_of(sys.stderr)
    assert sys.stderr.getvalue().rstrip().rpartition("\x1b[?25")[2][0] == "h"  # the cursor is shown again


@pytest.mark.newest
def test_a_notebook_gets_a_bar_in_html_that_is_replaced_in_its_place(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    published = []

    class ZMQInteractiveShell(InteractiveShell):  # the name by which programs know a notebook
        pass

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    shell = ZMQInteractiveShell()
    monkeypatch.setattr(
        shell.display_pub, "publish", lambda data, metadata=None, **more: published.append((data["text/html"], more))
    )
    monkeypatch.setattr(InteractiveShell, "_instance", shell)
    monkeypatch.setitem(__builtins__, "get_ipython", lambda: shell)
    train(callbacks=[Progress("<digits>")], steps=200)
    texts = [text for text, _ in published]
    assert "<div>&lt;digits&gt; <progress max='1'></progress> compiling</div>" in texts[0]
    assert any('value="1.0000"' in text and "200 updates" in text for text in texts)
    assert texts[-1].startswith("<div>&lt;digits&gt;: finished, 200 updates in ")
    assert {more["transient"]["display_id"] for _, more in published} == {published[0][1]["transient"]["display_id"]}
    assert [more.get("update", False) for _, more in published] == [False] + [True] * (len(published) - 1)


@pytest.mark.parametrize(("every_s", "error"), [(0, ValueError), ("10", TypeError)])
def test_seconds_that_cannot_be_are_refused(every_s, error):
    with pytest.raises(error, match="every_s must be"):
        Progress(every_s=every_s)
