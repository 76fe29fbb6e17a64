"""Pages in headless Chromium: no error, no request, all is drawn, and axe finds no fault.

Skipped where there is no Chromium, or no Playwright to speak to it; ``.ci/run`` installs it where it can.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.results import by_hand, result_of

from jasgd import cluster, report
from jasgd.experiments.comparison import Comparison
from jasgd.report.pages.loading import Content
from jasgd.report.pages.page import rendered

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PHONE, WIDE = 390, 1440
EVALUATED = [{"version": v, "time_s": v / 100, "loss": 1 / (1 + v), "accuracy": v / 300} for v in (0, 100, 300)]


@pytest.fixture(scope="module")
def browser():
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages of a run and of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    run = result_of(np.geomspace(3, 0.01, 300), staleness=5, evaluations=EVALUATED)
    long = f"constant@{'exponential:beta=0.123456789,normalized=true'}"
    losses = [np.geomspace(height, 0.1, 60) for height in (3, 4)]
    comparison: Comparison = by_hand(constant=[result_of(one, staleness=2) for one in losses])
    comparison.runs["constant"][1].execution.metadata["scheme"] = long
    record = {"command": f"jasgd compare --arms {long} --out {'a' * 200}", "reading": f"{long} " * 5}
    contents = {"run": Content("run", run, {}, {}), "comparison": Content("comparison", comparison, record, {})}
    for name, content in contents.items():
        (folder / f"{name}.html").write_text(rendered(content, Path("runs") / ("a-long-name-" * 12)))
    return {name: folder / f"{name}.html" for name in contents}


@pytest.fixture
def opened(browser, files):
    """Opens a page, and fails where it logs an error or asks for anything but itself."""
    faults, contexts = [], []

    def note(message):
        if message.type in ("error", "warning"):
            faults.append(message.text)

    def opened(name, *, width=WIDE, theme="light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme))
        page = contexts[-1].new_page()
        own = files[name].as_uri()
        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url) if request.url != own else None)
        page.goto(own)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("name", ["run", "comparison"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_with_all_tables_open(opened, name, theme):
    page = opened(name, theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["run", "comparison"])
@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_nothing_is_wider_than_the_page_and_every_figure_is_drawn(opened, name, width):
    page = opened(name, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(one => {const box = one.getBoundingClientRect();"
        " return [box.left, box.right, box.height, one.querySelectorAll('path, use, text').length]})"
    )
    assert len(boxes) >= 5
    for left, right, height, drawn in boxes:
        assert left >= 0
        assert right <= width
        assert right - left > 300
        assert height > 100
        assert drawn > 20


def test_the_figures_follow_the_theme(opened):
    colours = {}
    for theme in ("light", "dark"):
        page = opened("run", theme=theme)
        colours[theme] = page.evaluate(
            "[document.body, ...document.querySelectorAll('figure svg [style*=\"fill: var\"]')]"
            ".map(one => getComputedStyle(one)).map(style => [style.fill, style.backgroundColor])"
        )
    assert colours["light"][0][1] == "rgb(255, 255, 255)"
    assert colours["dark"][0][1] == "rgb(20, 24, 29)"
    assert len(colours["light"]) > 100
    assert [light for light, dark in zip(*colours.values(), strict=True) if light == dark] == []


def test_a_timeline_of_generated_executions_is_drawn_in_a_page(browser, tmp_path):
    execution = cluster.generate(cluster.Cluster(compute_s=1.0), workers=40, steps=400)
    (file,) = report.save({"timeline": report.timeline(execution)}, tmp_path, "svg")
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.getBoundingClientRect().width") > 100
    page.close()
