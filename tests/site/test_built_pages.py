"""The check of the built site finds what is dead, silent or fetched from elsewhere; make docs runs it."""

import subprocess
import sys

import pytest
from support.pages import ROOT


def checked(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    command = [sys.executable, str(ROOT / "docs" / "_site" / "check_links.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="gone.html">x</a>', "links to gone.html, which is not there"),
        ('<a href="other.html#gone">x</a>', "links to other.html#gone, which has no such anchor"),
        ('<a href="#gone">x</a>', "links to #gone, which has no such anchor"),
        ('<img src="other.html">', "shows other.html without a word"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js from elsewhere"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css from elsewhere"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(tmp_path, body, said):
    result = checked(tmp_path, page=body, other='<p id="here">')
    assert (result.returncode, result.stderr) == (1, f"page.html {said}\n")


def test_a_site_in_which_all_is_well_is_counted(tmp_path):
    good = '<a href="other.html#here">x</a> <a href="https://docs.jax.dev">y</a> <img src="page.html" alt="a page">'
    result = checked(tmp_path, page=good, other='<p id="here">')
    assert (result.returncode, result.stdout) == (0, "2 pages, 2 links: 0 dead, silent or from elsewhere\n")


def test_a_folder_without_pages_is_no_site(tmp_path):
    assert checked(tmp_path).returncode == 1
