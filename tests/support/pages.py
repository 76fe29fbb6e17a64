"""What tests read in the pages of README and docs: blocks of code, links, anchors and pictures."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*FRONT, *sorted((ROOT / "docs").glob("*.md"))]

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^(```+).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def blocks(page, language):
    """The blocks of code in a language that a reader sees."""
    return re.findall(rf"^```{language}\n(.*?)^```", COMMENT.sub("", page.read_text()), re.DOTALL | re.MULTILINE)


def prose(page):
    """The page without comments, blocks of code, and code within lines."""
    return re.sub(r"`[^`\n]*`", "`", FENCE.sub("", COMMENT.sub("", page.read_text())))


def links(page):
    """Of each link and picture: whether it is a picture, its words, and its target."""
    return [(mark == "!", words, target) for mark, words, target in LINK.findall(prose(page))]


def anchors(page):
    """The anchors that a repository browser, and the site, make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", COMMENT.sub("", page.read_text())), re.MULTILINE)
    names = []
    for heading in headings:
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        same = sum(other == name or re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None for other in names)
        names.append(f"{name}-{same}" if same else name)
    return names
