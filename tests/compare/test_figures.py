"""Figures as files for papers."""

import matplotlib as mpl

from recbole_edt.compare.report.figures.canvas import STYLE, ReportFigure


def test_pdf_embeds_truetype_fonts():
    """Publishers refuse Type 3 fonts, matplotlib's default."""
    with mpl.rc_context(STYLE):
        figure = ReportFigure("cost", "cost", 100, 50)
        figure.add_title("Seconds")
        figure.render()
    assert b"/FontFile2" in figure.pdf
    assert b"/Type3" not in figure.pdf
