"""Checks the built site as a browser sees it: links, anchors, what it loads, and the words beside pictures.

``python docs/_site/check_links.py build/site`` prints counts, or what is wrong, and then ends with 1.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page of HTML refers to, and the anchors that it has."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []  # what a reader may follow
        self.loaded: list[str] = []  # what the browser fetches by itself
        self.anchors: set[str] = set()
        self.silent: list[str] = []  # pictures without alternative text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes what an element refers to."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if "src" in values:
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip() and values.get("role") != "presentation":
            self.silent.append(values.get("src", ""))


def problems(site: Path) -> tuple[list[str], int, int]:
    """What is wrong, and how many pages and links were looked at."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    wrong: list[str] = []
    for path, page in pages.items():
        name = path.relative_to(site)
        wrong += [f"{name} loads {target} from elsewhere" for target in page.loaded if urlsplit(target).netloc]
        wrong += [f"{name} shows {target} without a word" for target in page.silent]
        for target in page.links + page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if not place.exists():
                wrong.append(f"{name} links to {target}, which is not there")
            elif parts.fragment and place.suffix == ".html":
                there = pages.get(site / place.relative_to(site.resolve()))
                if there is not None and unquote(parts.fragment) not in there.anchors:
                    wrong.append(f"{name} links to {target}, which has no such anchor")
    return wrong, len(pages), sum(len(page.links) for page in pages.values())


def main() -> int:
    """Checks the site in the folder that is the first argument."""
    site = Path(sys.argv[1])
    wrong, pages, links = problems(site)
    for line in wrong:
        print(line, file=sys.stderr)
    if not pages:
        print(f"there is no page in {site}", file=sys.stderr)
    else:
        print(f"{pages} pages, {links} links: {len(wrong)} dead, silent or from elsewhere")
    return int(bool(wrong) or not pages)


if __name__ == "__main__":
    sys.exit(main())
