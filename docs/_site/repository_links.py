"""Links of pages to what lies elsewhere in the repository, so that one Markdown file serves repository and site.

The pages at the root of the repository are shown by pages here, which say in the repository only where to look. A file
is offered for download; a folder, which a site has no page for, stays a name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

#: Files at the root of the repository, and the page of the site that shows each.
PAGES = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")
TO_A_FOLDER = re.compile(r"\[([^\]]+)\]\(((?:\.\./)[^)#\s]+)\)")


def from_the_root(text: str) -> str:
    """The text of a page at the root of the repository, with its links as they are from the folder ``docs``."""

    def replaced(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        inside = target.removeprefix("docs/")
        return f"]({inside if inside != target else '../' + target}{anchor})"

    return LINK.sub(replaced, text)


def for_the_site(text: str, folder: Path) -> str:
    """The Markdown of a page in ``folder`` with its links out of that folder as the site needs them."""

    def replaced(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        return f"]({PAGES.get(target.removeprefix('../'), target) if target.startswith('../') else target}{anchor})"

    def without_folders(match: re.Match[str]) -> str:
        words, target = match.groups()
        return f"{words} (`{target.removeprefix('../')}`)" if (folder / target).is_dir() else match[0]

    return TO_A_FOLDER.sub(without_folders, LINK.sub(replaced, text))


def setup(app: Sphinx) -> dict[str, Any]:
    """Has each page's links rewritten once it is read."""

    def rewrite(app: Sphinx, docname: str, source: list[str]) -> None:
        folder = Path(app.srcdir)
        for name, page in PAGES.items():
            if page == f"{docname}.md":
                app.env.note_dependency(folder.parent / name)
                source[0] = from_the_root((folder.parent / name).read_text())
        if "/" not in docname and (folder / f"{docname}.md").exists():
            source[0] = for_the_site(source[0], folder)

    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
