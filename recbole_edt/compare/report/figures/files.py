"""Figures as files for papers, and embedded in the page."""

import re
from pathlib import Path
from xml.etree import ElementTree

from recbole_edt.compare.report.figures import Figures
from recbole_edt.compare.report.figures.canvas import ReportFigure
from recbole_edt.files import replacing, write_text
from recbole_edt.pages.palette import LIGHT

_VARIABLE = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
_KINDS = re.compile(r"(bars|gains|curves)-.*|cost")
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def save_figures(figures: Figures, folder: Path) -> None:
    """Write every figure as SVG and PDF; figures of an earlier report are removed."""
    names = set()
    for figure in (figure for some in figures.values() for figure in some):
        names.add(figure.name)
        write_text(folder / f"{figure.name}.svg", figure.svg)
        with replacing(folder / f"{figure.name}.pdf") as temporary:
            temporary.write_bytes(figure.pdf)
    for path in [*folder.glob("*.svg"), *folder.glob("*.pdf")]:
        if path.stem not in names and _KINDS.fullmatch(path.stem):
            path.unlink()


def inline_svg(figure: ReportFigure) -> str:
    """Return a figure as an element of the page.

    Its colours become the page's variables and so follow the light or dark scheme, its ids are
    unique on the page, and tooltips are added.
    """
    root = ElementTree.fromstring(figure.svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):  # the page has a style of its own
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        tip = figure.tooltips.get(element.get("id", ""))
        if tip is not None:
            title = ElementTree.Element("title")
            title.text = tip
            element.insert(0, title)
        _localize(element, f"{figure.name}-")
    root.attrib = {
        "class": "figure", "viewBox": root.attrib["viewBox"], "role": "img",
        "aria-label": figure.title, "width": f"{figure.width:.0f}",
        "height": f"{figure.height:.0f}", "style": f"min-width:{0.68 * figure.width:.0f}px",
    }  # fmt: skip
    return ElementTree.tostring(root, encoding="unicode")


def _localize(element: ElementTree.Element, prefix: str) -> None:
    """Make ids unique and colours variables in one element's attributes."""
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, prefix + value)
        elif name == f"{_XLINK}href":
            del element.attrib[name]
            element.set("href", value.replace("#", f"#{prefix}", 1))
        elif name == "style":
            variables = re.sub(r"#[0-9a-f]{6}", lambda m: _VARIABLE.get(m[0], m[0]), value)
            element.set(name, variables)
        elif value.startswith("url(#"):
            element.set(name, value.replace("#", f"#{prefix}", 1))
