"""Every link of the pages leads somewhere, and every picture says in words what it shows; without a network."""

import re

import pytest
from support.pages import PAGES, anchors, links

HOSTS = re.compile(r"https?://")


def dead(page):
    """The targets of a page's links that are no file of the repository, or no heading of that file."""
    missing = []
    for _, _, target in links(page):
        if HOSTS.match(target) or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            missing.append(target)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    assert dead(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_has_alternative_text_of_some_words(page):
    assert [target for picture, words, target in links(page) if picture and len(words.split()) < 4] == []


def test_there_are_links_and_pictures_to_look_at():
    found = [link for page in PAGES for link in links(page)]
    assert len(found) > 100
    assert sum(picture for picture, _, _ in found) > 10


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("[a](other.md) [b](other.md#a-word-of-ec-and-more) [c](#here)", []),
        ("[a](gone.md)", ["gone.md"]),
        ("[a](other.md#gone)", ["other.md#gone"]),
        ("[two\nlines](gone.md)", ["gone.md"]),
        ("![a picture](gone.png)", ["gone.png"]),
        ("```md\n[a](gone.md)\n```\n<!-- [a](gone.md) --> and `[a](gone.md)`", []),
        ("[a](#here-1) [b](#here-2)", ["#here-2"]),
    ],
)
def test_a_dead_link_is_found(tmp_path, text, missing):
    (tmp_path / "other.md").write_text("# A word of E[C], and more\n")
    page = tmp_path / "page.md"
    page.write_text(f"{text}\n\n## Here\n## Here\n")
    assert dead(page) == missing
