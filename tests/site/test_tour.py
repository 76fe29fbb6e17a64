"""The notebook of the examples runs from its first cell to its last, in a kernel of its own, and shows what it says."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from support.pages import ROOT

TOUR = ROOT / "examples" / "tour.ipynb"


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    notebook = nbformat.read(TOUR, as_version=4)
    folder = tmp_path_factory.mktemp("tour")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    assert list(folder.iterdir()) == []
    return notebook


def printed(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text") or output.data["text/plain"] for output in outputs)
    return re.sub(r"\x1b\[[\d;]*m", "", text), outputs  # without colours


def test_the_tour_shows_a_run_pictures_a_replay_and_a_verdict(tour):
    text, outputs = printed(tour)
    shown = [output.data for output in outputs if output.output_type in ("display_data", "execute_result")]
    assert ["<caption>TrainResult" in str(data.get("text/html")) for data in shown].index(True) == 0
    assert sum("image/png" in data for data in shown) == 4
    assert "version 1500: the same bits (1500 gradients, final parameters and optimizer state)" in text
    means = dict(re.findall(r"^(\w+) +E\[C\] = ([\d.]+)$", text, re.MULTILINE))
    assert (float(means["constant"]), float(means["inverse"]) < 0.5 < float(means["tail"])) == (1, True)
    verdicts = re.findall(r"^ *(positive|decreasing|magnitude) +poisson:8 +(\w+)", text, re.MULTILINE)
    assert verdicts[:3] == [("positive", "PROVED"), ("decreasing", "PROVED"), ("magnitude", "REFUTED")]


def test_the_tour_says_nothing_of_an_error(tour):
    _, outputs = printed(tour)
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []


def test_the_notebook_is_committed_without_what_a_run_left():
    cells = [cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
