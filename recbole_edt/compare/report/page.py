"""The self-contained HTML report: no script, no request, light and dark."""

import jinja2
from markupsafe import Markup

from recbole_edt.compare.report.contents import contents_of
from recbole_edt.compare.report.figures import Figures
from recbole_edt.compare.report.figures.files import inline_svg
from recbole_edt.compare.report.headline import lead, tiles
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.tables import common_settings, unfinished_table
from recbole_edt.compare.report.texts import one_line
from recbole_edt.pages import environment, palette


def html_page(significance: Significance, figures: Figures) -> str:
    """Return the whole page.

    Parameters
    ----------
    significance : Significance
        The comparison and its tests.
    figures : dict
        Those of `recbole_edt.compare.report.figures.draw_figures`, which are embedded.
    """
    comparison, ours = significance.comparison, significance.reference
    unfinished = unfinished_table(comparison)
    warnings = [one_line(note) for note in comparison.notes]
    if unfinished is not None:
        count = len(unfinished.rows)
        cells = "1 cell has" if count == 1 else f"{count} cells have"
        warnings.append(f"{cells} no result; reasons are at the end of this page.")
    template = _environment().get_template("report.html.j2")
    return template.render(
        title=one_line(f"{comparison.dataset}: side by side"),
        settings=common_settings(comparison),
        lead=lead(significance),
        warnings=warnings,
        tiles=tiles(significance),
        content=contents_of(significance) if comparison.metrics else None,
        drawings={
            kind: [Markup(inline_svg(figure)) for figure in some]  # no text of a user's is markup
            for kind, some in figures.items()
        },
        unfinished=unfinished,
        indices=significance.row_indices,
        reference=ours.label if ours else None,
    )


def _environment() -> jinja2.Environment:
    made = environment("recbole_edt.compare.report")
    made.filters["one_line"] = one_line
    made.globals["row_colours"] = palette.ROW_COLOURS
    return made
