"""The colours of pages and their figures, for a light and a dark scheme.

``c0`` to ``c11`` are the colours of rows and domains, safe for the colour-blind in this order.
"""

ROW_COLOURS = 12

_LIGHT_ROWS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#882255", "#999933", "#44aa99", "#aa4499", "#117733", "#8c6d46",
)  # fmt: skip
_DARK_ROWS = (
    "#4da3ff", "#ff8a4c", "#2fd0a0", "#f0a5cf", "#f2b632", "#a3dcff",
    "#d4698f", "#cccc66", "#7fd8cb", "#cf86d6", "#62bd7c", "#c49a6c",
)  # fmt: skip

LIGHT = {
    "page": "#ffffff", "panel": "#f6f7f9", "ink": "#1b1f24", "soft": "#59636e",
    "rule": "#d9dde2", "tint": "#e3effa", "good": "#0b6e4f", "bad": "#a8321f",
    **{f"c{k}": colour for k, colour in enumerate(_LIGHT_ROWS)},
}  # fmt: skip
DARK = {
    "page": "#14171b", "panel": "#1d2126", "ink": "#e8eaed", "soft": "#a3abb5",
    "rule": "#363c44", "tint": "#1c3550", "good": "#5fd3a6", "bad": "#ff9a85",
    **{f"c{k}": colour for k, colour in enumerate(_DARK_ROWS)},
}  # fmt: skip


def row_colour(index: int) -> str:
    """Return the light colour of row number `index`; after the last one they begin again."""
    return LIGHT[f"c{index % ROW_COLOURS}"]
