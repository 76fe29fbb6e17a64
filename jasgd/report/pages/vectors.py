"""Figures as SVG within a page: coloured by the page's variables, named apart, and nothing else in them."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from jasgd.presenting.pictures.canvas import Picture
from jasgd.presenting.pictures.style import THEMES, Theme
from jasgd.report.saving import drawn

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
REFERENCE = re.compile(r"url\(#([^)]*)\)")
DECIMALS = re.compile(r"-?\d+\.\d{3,}")
ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML


def variables(theme: Theme) -> dict[str, str]:
    """The page's variables of a theme, by name.

    Example:
      >>> variables(THEMES["light"])["--paper"]
      '#ffffff'
    """
    fields = theme._asdict()
    named = {f"--{name.replace('_', '-')}": value for name, value in fields.items() if isinstance(value, str)}
    for name in ("colours", "levels"):
        named |= {f"--{name[:-1]}-{index}": value for index, value in enumerate(fields[name])}
    return named


def inline(picture: Picture, name: str) -> str:
    """The SVG of a picture in the light theme, for a page.

    Args:
      picture: to draw.
      name: of it on the page, by which its identifiers are told from those of others.

    Returns:
      The element, which takes its colours from :func:`variables`, and has the picture's title and description.
    """
    text = drawn(picture.figure, "svg", svg_fonttype="none").decode()
    root = ElementTree.fromstring(ILLEGAL.sub("\ufffd", text))
    by_colour = {colour: f"var({variable})" for variable, colour in variables(THEMES["light"]).items()}
    for parent in root.iter():
        for child in list(parent):
            # Matplotlib's own style is for every element of a page, and of its metadata the page has all.
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _adapt(element, name, by_colour)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    words_of = {"title": ("title", picture.title), "desc": ("description", picture.description)}
    for place, (tag, (suffix, words)) in enumerate(words_of.items()):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{suffix}"})
        element.text = ILLEGAL.sub("\ufffd", words)
        root.insert(place, element)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: Any, name: str, by_colour: dict[str, str]) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif "url(#" in value:
            element.set(key, REFERENCE.sub(rf"url(#{name}-\1)", value))
    for key in ("d", "x", "y", "width", "height", "transform"):
        if key in element.attrib:  # a hundredth of a point is enough, and half as long
            element.set(key, DECIMALS.sub(lambda found: f"{float(found[0]):.2f}", element.get(key)))
    for key in ("style", "fill", "stroke"):
        if key in element.attrib:
            element.set(key, COLOUR.sub(lambda found: by_colour.get(found[0], found[0]), element.get(key)))
