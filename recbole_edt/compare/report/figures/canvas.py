"""What the figures share: style, sizes in CSS pixels, text that fits, SVG and PDF."""

import io
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from recbole_edt.compare.report.texts import one_line
from recbole_edt.pages.palette import LIGHT, ROW_COLOURS, row_colour

INK, SOFT, RULE, PAGE = (LIGHT[name] for name in ("ink", "soft", "rule", "page"))
_DPI = 96  # CSS pixels of an inch
_POINT = 72 / _DPI  # points of a CSS pixel
NORMAL, SMALL, TITLE = 12 * _POINT, 11 * _POINT, 13 * _POINT  # font sizes
_MARKERS = "os^D"
STYLE: Any = {  # matplotlib types it as a dict of some 300 literal names
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": NORMAL,
    "text.color": INK, "text.parse_math": False,  # a label may hold a $
    "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False,
    "axes.spines.bottom": False, "axes.facecolor": "none", "axes.axisbelow": True,
    "axes.labelcolor": SOFT, "axes.labelsize": SMALL, "axes.xmargin": 0, "axes.ymargin": 0,
    "grid.color": RULE, "grid.linewidth": _POINT,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "xtick.color": SOFT, "ytick.color": SOFT,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "xtick.major.pad": 4 * _POINT, "ytick.major.pad": 6 * _POINT,
    "figure.facecolor": "none", "savefig.facecolor": "none",
    "svg.fonttype": "none", "svg.hashsalt": "recbole-edt", "pdf.fonttype": 42,
}  # fmt: skip
"""Text stays text in SVG and PDF, and the same figure gives the same bytes."""


@dataclass
class ReportFigure:
    """One figure: for the page, and as files for papers.

    Attributes
    ----------
    name : str
        Its file name without ending; unique in a report.
    title : str
        What it shows, for readers who do not see it.
    width, height : float
        CSS pixels.
    figure : matplotlib.figure.Figure
        The drawing, in the light palette.
    tooltips : dict
        Texts by the group id of the artist that has them.
    svg : str
        The figure as an SVG file, after `render`.
    pdf : bytes
        The figure as a PDF file, after `render`.
    """

    name: str
    title: str
    width: float
    height: float
    figure: Figure = field(init=False)
    tooltips: dict[str, str] = field(default_factory=dict)
    svg: str = ""
    pdf: bytes = b""

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width / _DPI, self.height / _DPI), dpi=_DPI)

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes at a position in CSS pixels from the upper left corner."""
        bottom = self.height - top - height
        x, y = self.width, self.height
        return self.figure.add_axes((left / x, bottom / y, width / x, height / y))

    def add_title(self, text: str, left: float = 4) -> None:
        """Write the title at the top, cut to the figure's width."""
        shown = fit(text, self.width - left - 2, TITLE, "bold")
        x, y = left / self.width, 1 - 2 / self.height
        artist = self.figure.text(x, y, shown, va="top", size=TITLE, weight="bold")
        if shown != one_line(text):
            self.add_tooltip(artist, text)

    def add_label(
        self, axes: Axes, x: float, y: float, text: str, room: float, **keys: Any
    ) -> Text:
        """Write a text of at most `room` CSS pixels; a cut one keeps the whole as its tooltip."""
        shown = fit(text, room, keys.get("size", NORMAL))
        artist = axes.text(x, y, shown, **keys)
        if shown != one_line(text):
            self.add_tooltip(artist, text)
        return artist

    def add_tooltip(self, artist: Artist, text: str) -> None:
        """Show a text while the pointer is over an artist."""
        name = f"tip-{len(self.tooltips)}"
        artist.set_gid(name)
        self.tooltips[name] = one_line(text)

    def add_marker(
        self,
        axes: Axes,
        x: float,
        y: float,
        index: int,
        size: float = 10,
        tip: str = "",
        **keys: Any,
    ) -> None:
        """Draw the marker of row number `index`, `size` CSS pixels wide.

        Its shape changes when the colours begin again.
        """
        (marker,) = axes.plot(
            [x], [y], _MARKERS[index // ROW_COLOURS % len(_MARKERS)], color=row_colour(index),
            markersize=size * _POINT, markeredgecolor=PAGE, markeredgewidth=_POINT,
            clip_on=False, zorder=5, **keys,
        )  # fmt: skip
        if tip:
            self.add_tooltip(marker, tip)

    def render(self) -> None:
        """Fill in `svg` and `pdf`, without dates and versions."""
        text, data = io.StringIO(), io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(text, format="svg", metadata=nothing)
        nothing = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        self.figure.savefig(data, format="pdf", metadata=nothing)
        self.svg, self.pdf = text.getvalue(), data.getvalue()


def round_ticks(count: int, integer: bool = False) -> MaxNLocator:
    """Return a locator of at most about `count` ticks at round numbers."""
    return MaxNLocator(count, steps=[1, 2, 5, 10], integer=integer)


def file_name(kind: str, number: int, label: str) -> str:
    """Return a figure's name from its kind, its position and what it shows."""
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40]
    return f"{kind}-{number:02}-{words}".rstrip("-")


def text_width(text: str, size: float = NORMAL, weight: str = "normal") -> float:
    """Return the width of a text in CSS pixels; letters that the font lacks count as wide ones."""
    wide = "".join("W" if unicodedata.east_asian_width(c) in "WF" else c for c in text)
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(wide, font, False)[0] / _POINT


def fit(text: str, room: float, size: float = NORMAL, weight: str = "normal") -> str:
    """Return a text of at most `room` CSS pixels, cut at the end with an ellipsis."""
    text = one_line(text)
    if text_width(text, size, weight) <= room:
        return text
    kept = len(text)
    while kept and text_width(f"{text[:kept].rstrip()}…", size, weight) > room:
        kept -= 1
    return f"{text[:kept].rstrip()}…"


def points(pixels: float) -> float:
    """Return CSS pixels in points, the unit of line widths."""
    return pixels * _POINT
