"""Drawing by hand: scales, ticks and escaped SVG elements, coloured by the page's variables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from recbole_edt.compare.report.writers import one_line, shorten, width

COLOURS = 12  # --c0 to --c11 in report.css, safe for the colour-blind in this order
_CHARACTER = 0.58  # mean width of a character, in font sizes


@dataclass(frozen=True)
class Scale:
    """A line from data to pixels.

    Attributes
    ----------
    low, high : float
        Data.
    start, end : float
        Pixels.
    log : bool
        Whether equal factors are equal distances.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers within low and high."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten within low and high, with 2 and 5 between when these are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [s * 10.0**d for d in decades for s in steps]
        found = [tick for tick in found if low * 0.999 <= tick <= high * 1.001]
        if len(found) >= 4:
            break
    return found


def labels(at: Sequence[float]) -> list[str]:
    """Return the labels of ticks: as many decimals for all as one of them needs."""
    decimals = max((len(f"{value:.8f}".rstrip("0").partition(".")[2]) for value in at), default=0)
    return [f"{value:,.{decimals}f}".replace("-", "\u2212") for value in at]


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return one element; `content` is markup already, attributes are escaped here.

    An underscore after a name (``class_``) is dropped, others become hyphens.
    """
    parts = [tag]
    for name, value in attributes.items():
        if isinstance(value, float):
            value = f"{value:.2f}".rstrip("0").rstrip(".")
        parts.append(f'{name.rstrip("_").replace("_", "-")}="{escape(str(value))}"')
    return f"<{' '.join(parts)}>{content}</{tag}>" if content else f"<{' '.join(parts)}/>"


def text(
    x: float, y: float, content: str, anchor: str = "start", class_: str = "", limit: float = 0
) -> str:
    """Return a text; longer than `limit` pixels it is cut and keeps the whole as its tooltip."""
    whole = one_line(content)
    size = 12 * _CHARACTER * (1.22 if class_ == "facet" else 1)  # facets are bold and larger
    shown = shorten(whole, int(limit / size)) if limit else whole
    tooltip = f"<title>{escape(whole)}</title>" if shown != whole else ""
    keys = {"class_": class_} if class_ else {}
    return element(
        "text", escape(shown) + tooltip, x=float(x), y=float(y), text_anchor=anchor, **keys
    )


def text_pixels(content: str, limit: float) -> float:
    """Return about how wide `text` draws this, at most `limit` pixels."""
    return min(width(one_line(content)) * 12 * _CHARACTER + 4, limit)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, style: str = "") -> str:
    """Return a straight line."""
    keys = {"style": style} if style else {}
    return element(
        "line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_, **keys
    )


def path(points: Sequence[tuple[float, float]], class_: str, style: str) -> str:
    """Return a line through points."""
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=d, class_=class_, style=style)


def colour(index: int) -> str:
    """Return the CSS value of a row's colour."""
    return f"var(--c{index % COLOURS})"


def marker(x: float, y: float, index: int, title: str = "", size: float = 5) -> str:
    """Return a row's marker; its shape changes when the colours begin again."""
    half = f"a{size} {size} 0 1 0"
    shapes = (
        f"M{x - size:.1f} {y:.1f}{half} {2 * size} 0{half} {-2 * size} 0z",
        f"M{x - size:.1f} {y - size:.1f}h{2 * size}v{2 * size}h{-2 * size}z",
        f"M{x:.1f} {y - size:.1f}l{size} {2 * size}h{-2 * size}z",
        f"M{x:.1f} {y - size:.1f}l{size} {size}l{-size} {size}l{-size} {-size}z",
    )
    tooltip = f"<title>{escape(one_line(title))}</title>" if title else ""
    return element(
        "path",
        tooltip,
        d=shapes[index // COLOURS % len(shapes)],
        class_="marker",
        style=f"fill:{colour(index)}",
    )


def drawing(size: tuple[float, float], title: str, parts: Sequence[str]) -> str:
    """Return a whole drawing of `size` pixels that may shrink a little on narrow screens."""
    wide, high = size
    return (
        f'<svg viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}" '
        f'style="min-width:{0.68 * wide:.0f}px" role="img" aria-label="{escape(one_line(title))}">'
        f"{''.join(parts)}</svg>"
    )


def x_axis(scale: Scale, at: Sequence[float], top: float, bottom: float, title: str) -> list[str]:
    """Return grid lines with labels below them, and the axis' title."""
    parts = []
    shown = [f"{tick:,g}" for tick in at] if scale.log else labels(at)
    for tick, label in zip(at, shown, strict=True):
        x = scale(tick)
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(text(x, bottom + 15, label, "middle", "tick"))
    if title:
        parts.append(text((scale.start + scale.end) / 2, bottom + 33, title, "middle", "axis"))
    return parts


def y_axis(scale: Scale, at: Sequence[float], left: float, right: float, title: str) -> list[str]:
    """Return grid lines with labels left of them, and the axis' title above."""
    parts = []
    for tick, label in zip(at, labels(at), strict=True):
        y = scale(tick)
        parts.append(line(left, y, right, y, "grid"))
        parts.append(text(left - 6, y + 4, label, "end", "tick"))
    if title:
        parts.append(text(4, scale.end - 12, title, "start", "axis"))
    return parts
