"""The page of a saved folder: what is in it, how large it is, and that nothing in it is taken for markup."""

import dataclasses
import json
import re
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from support.results import result_of

import jasgd
from jasgd import report
from jasgd.cli.main import main
from jasgd.presenting.pictures.losses import loss_picture
from jasgd.presenting.pictures.style import THEMES, style_of
from jasgd.record.saving.folder import adding
from jasgd.record.saving.manifest import FILE
from jasgd.report.pages.loading import load
from jasgd.report.pages.vectors import inline, variables
from jasgd.report.plots import pictures

COMMANDS = {
    "run": ["train", "--steps", "60", "--workers", "2", "--rule", "tail"],
    "comparison": ["compare", "--steps", "40", "--workers", "2", "--arms", "constant", "tail", "--seeds", "0", "1"],
    "spectrum": [
        *("simulate", "--steps", "30", "--workers", "1", "4", "--arms", "constant", "tail", "--seeds", "0", "1"),
        *("--learning-rates", "0.05", "500", "--speeds", "equal"),
    ],
}
OF_RUNS = ["loss", "evaluations", "timeline", "staleness", "staleness_over_time", "step_size", "factor_over_time"]
FIGURES = {
    "run": OF_RUNS,
    "comparison": OF_RUNS,
    "spectrum": ["spectrum", "learning_rates", "convergence", "speed_up"],
}  # fmt: skip
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Every element with its attributes, in order; that all are closed where they should be."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind, as the command line saves it."""
    made = {kind: tmp_path_factory.mktemp("saved") / kind for kind in COMMANDS}
    for kind, command in COMMANDS.items():
        assert main([*command, "--no-plots", "--json", "--out", str(made[kind])]) == 0
    return made


@pytest.fixture(scope="module")
def pages(folders):
    """The page of each, in a copy of the folder."""
    return {
        kind: report.report_of(folder, folder.parent / f"{kind}.html").read_text() for kind, folder in folders.items()
    }


def require_page(text):
    """What holds of every page."""
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert text.startswith("<!doctype html>")
    for landmark in ("header", "main", "footer", "h1", "title"):
        assert len(page.of(landmark)) == (1 if landmark != "title" else 1 + len(page.of("figure")))
    assert page.of("html") == [{"lang": "en"}]
    for tag in ("script", "link", "img", "iframe", "object", "form", "base"):
        assert page.of(tag) == []
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
            assert attributes.get(name, "#")[1:] in ("", *identities)
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(identities)
        for reference in re.findall(r"url\(([^)]*)\)", " ".join(filter(None, attributes.values()))):
            assert reference[1:] in identities
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "https://" not in text
    return page


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_page_has_its_landmarks_its_figures_and_their_numbers_and_stands_alone(pages, kind):
    page = require_page(pages[kind])
    vectors = page.of("svg")
    assert [svg["aria-labelledby"].split()[0].removesuffix("-title") for svg in vectors] == FIGURES[kind]
    assert all(svg["role"] == "img" for svg in vectors)
    assert len(page.of("figure")) == len(page.of("details")) == len(page.of("desc")) == len(vectors)
    text = " ".join("".join(page.texts).split())
    summary, figures = text.index("What came of it"), text.index("Figures")
    assert summary < text.index({"run": "The run finished", "comparison": "were trained on digits/mlp",
                                 "spectrum": "were simulated on digits/mlp"}[kind]) < figures  # fmt: skip
    # All colours are the page's, which follow the reader's theme.
    assert re.findall(r'(?:style|fill|stroke)="[^"]*#[0-9a-f]{6}', pages[kind]) == []
    for name, colour in variables(THEMES["dark"]).items():
        assert f"{name}: {colour};" in pages[kind].partition("prefers-color-scheme: dark")[2]
    used = set(re.findall(r"var\((--[\w-]+)", pages[kind]))
    assert used <= set(variables(THEMES["light"]))


def test_a_page_says_how_to_make_it_again(pages, folders):
    assert "<code>jasgd train --workers 2 --steps 60</code>" in pages["run"]
    assert f"jasgd replay {folders['run']}" in pages["run"]
    assert f"python -m theory.verify --execution {folders['run']}" in pages["run"]
    assert "jasgd compare --workers 2 --steps 40 --arms constant tail --seeds 0 1" in pages["comparison"]
    assert "--learning-rates 0.05 500.0" in pages["spectrum"]
    for kind, folder in folders.items():
        assert f"jasgd report {folder}" in pages[kind]


def test_the_command_that_is_said_makes_the_same_simulation_again(pages, folders, tmp_path):
    (line,) = re.findall(r"<code>(jasgd simulate [^<]*)</code>", pages["spectrum"])
    assert main([*line.split()[1:], "--no-plots", "--json", "--out", str(tmp_path / "again")]) == 0
    first, again = (
        json.loads((folder / "spectrum.json").read_text()) for folder in (folders["spectrum"], tmp_path / "again")
    )
    assert first["runs"] == again["runs"]
    assert first["command"] == again["command"]


def test_a_spectrum_is_read_as_it_was(folders):
    result = load(folders["spectrum"]).result
    record = json.loads((folders["spectrum"] / "spectrum.json").read_text())
    assert [run["outcome"] for run in record["runs"]] == [run["outcome"] for run in result.runs.values()]
    assert [row["arm"] for row in record["table"]] == [row["arm"] for row in result.rows]
    rows = [*result.rows, *result.tuning_rows]
    lost = [row["final_loss"].high for row in rows if "diverged" in row["outcomes"]]
    assert lost
    assert set(lost) == {np.inf}
    assert result.reading() == record["reading"]


def test_the_command_writes_the_page_into_the_folder_to_which_it_belongs(folders, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(folders["run"], folder)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert "report.html" in json.loads((folder / FILE).read_text())["files"]
    assert jasgd.TrainResult.load(folder).outcome == "finished"
    assert main(["report", str(folder), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").read_text() == (folder / "report.html").read_text()  # the same once more
    assert main([*COMMANDS["run"], "--no-plots", "--json", "--out", str(folder), "--overwrite"]) == 0
    assert not (folder / "report.html").exists()


def test_a_run_that_a_program_saved_has_a_page_too(tmp_path):
    page = report.report_of(result_of([3.0, 2.0, 1.0]).save(tmp_path / "run"))
    require_page(page.read_text())
    nothing = report.report_of(result_of([], outcome=jasgd.Outcome.FAILED).save(tmp_path / "nothing")).read_text()
    require_page(nothing)
    assert "No gradient was applied, so there is nothing to draw." in nothing


def test_what_is_no_such_folder_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "folder must be one of a run, a comparison or a spectrum" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_refused(folders, tmp_path, capsys):
    for kind, file in (("run", "execution.npz"), ("comparison", "comparison.json"), ("spectrum", "spectrum.json")):
        shutil.copytree(folders[kind], tmp_path / kind)
        content = (tmp_path / kind / file).read_bytes()
        (tmp_path / kind / file).write_bytes(content[:-9] + b"altered!\n")
        assert main(["report", str(tmp_path / kind)]) == 2
        assert re.search("was altered|is damaged", capsys.readouterr().err)
        assert not (tmp_path / kind / "report.html").exists()


HOSTILE = "<script>alert(1)</script>\"'><svg onload=x> $\\frac$ {{ 7*7 }} {% x %} &amp; \x00\x1b ]]>"


def test_no_text_of_a_folder_is_taken_for_markup(tmp_path):
    evaluations = [{"version": v, "time_s": v / 100, HOSTILE: 0.5} for v in (0, 40)]
    run = dataclasses.replace(result_of([2.0] * 40, evaluations=evaluations), message=HOSTILE)
    folder = run.save(tmp_path / "<b>run")
    with adding(folder) as draft:
        draft.json("metrics.json", {"command": f"jasgd {HOSTILE}"})
        draft.json("recipe.json", {"dataset": HOSTILE, "model": "mlp", "rule": HOSTILE})
    text = report.report_of(folder).read_text()
    page = require_page(text)
    assert "<script" not in text
    assert len(page.of("svg")) == len(page.of("figure"))
    shown = "".join(page.texts)
    for part in ("<script>alert(1)</script>", "{{ 7*7 }}", "&amp;", "$\\frac$"):
        assert shown.count(part) >= 4, part


def test_a_long_run_of_many_arms_has_a_page_of_bounded_size(tmp_path):
    rng = np.random.default_rng(0)
    arms = ["constant", *(f"exponential:beta=0.{k}" for k in range(1, 9))]
    runs = {}
    for label in arms:
        result = result_of(rng.gamma(2.0, 1.0, 20_000), staleness=7, factor=0.5)
        staleness = rng.negative_binomial(2, 0.05, 20_000)
        runs[label] = [
            dataclasses.replace(result, execution=dataclasses.replace(result.execution, staleness=staleness))
        ]
    drawn = pictures(runs, style_of("light", "column", False))
    assert sum(len(inline(picture, name)) for name, picture in drawn.items()) < 900_000


def test_figures_of_a_page_are_named_apart():
    style = style_of("light", "column", False)
    one, other = (inline(loss_picture(result_of(np.linspace(3, 1, 60)), style), name) for name in ("one", "other"))
    assert set(re.findall(r'id="([^"]*)"', one)).isdisjoint(re.findall(r'id="([^"]*)"', other))
    assert one.replace("one-", "other-") == other


def test_a_missing_extra_is_named_and_nothing_is_written(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(folders["run"]), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == 'jasgd: a report needs Jinja2: pip install "jasgd[cli]"\n'
    assert list(tmp_path.iterdir()) == []
