"""The figures of a report, drawn with matplotlib; imported only when a report is drawn."""

import warnings

import matplotlib as mpl

from recbole_edt.compare.report.figures.bars import bar_figures
from recbole_edt.compare.report.figures.canvas import STYLE, ReportFigure
from recbole_edt.compare.report.figures.cost import cost_figures
from recbole_edt.compare.report.figures.curves import curve_figures
from recbole_edt.compare.report.figures.gains import gain_figures
from recbole_edt.compare.report.significance import Significance

Figures = dict[str, list[ReportFigure]]


def draw_figures(significance: Significance) -> Figures:
    """Return the figures of each section: ``bars``, ``gains``, ``curves`` and ``cost``.

    Each is one small figure of many that wrap on narrow screens. Without a finished run there is
    none.
    """
    if not significance.comparison.metrics:
        return {}
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a browser has others
        figures = {
            "bars": bar_figures(significance),
            "gains": gain_figures(significance),
            "curves": curve_figures(significance),
            "cost": cost_figures(significance),
        }
        for figure in (figure for some in figures.values() for figure in some):
            figure.render()
    return figures
