"""A run's figures: Matplotlib's own, by name, and shown by a notebook."""

import base64
import dataclasses
import html
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.results import result_of

from jasgd import report
from jasgd.record.result import Outcome

LOSSES = np.linspace(2.0, 0.5, 60)


def test_a_run_gives_figures_of_matplotlib_by_name(tmp_path):
    figures = result_of(LOSSES).plot()
    assert list(figures) == ["loss", "timeline", "staleness", "staleness_over_time", "step_size", "factor_over_time"]
    assert all(isinstance(figure, Figure) for figure in figures.values())
    figures["loss"].axes[0].set_title("mine")
    figures["loss"].savefig(tmp_path / "mine.svg")
    assert "mine" in [text.get_text() for text in (figures["loss"].axes[0].title,)]
    assert (tmp_path / "mine.svg").stat().st_size > 1000


def test_a_notebook_shows_them_all_with_words_for_those_who_do_not_see_them():
    figures = result_of(LOSSES).plot()
    shown = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', figures._repr_html_())
    assert [html.unescape(words) for words, _ in shown] == [figure.get_label() for figure in figures.values()]
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for _, picture in shown)


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.STOPPED])
def test_a_run_that_ended_otherwise_is_drawn_as_well(outcome):
    assert len(dataclasses.replace(result_of([1.0, np.nan]), outcome=outcome).plot()) == 6


def test_a_run_that_applied_no_gradient_has_none(tmp_path):
    assert result_of([]).plot() == {}
    assert result_of([]).plot()._repr_html_() == ""
    assert report.plot(result_of([]), tmp_path / "none") == []
