"""The self-contained HTML report: no script, no request, light and dark."""

from typing import Any

import jinja2
from markupsafe import Markup

from recbole_edt.compare.report import palette
from recbole_edt.compare.report.figures import Figures
from recbole_edt.compare.report.figures.files import inline_svg
from recbole_edt.compare.report.headline import lead, tiles
from recbole_edt.compare.report.sections import Section, sections_of
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.tables import common_settings, unfinished_table
from recbole_edt.compare.report.texts import one_line


def html_page(significance: Significance, figures: Figures) -> str:
    """Return the whole page.

    Parameters
    ----------
    significance : Significance
        The comparison and its tests.
    figures : dict
        Those of `recbole_edt.compare.report.figures.draw_figures`, which are embedded.
    """
    comparison = significance.comparison
    drawings: dict[str, list[Any]] = {
        kind: [Markup(inline_svg(figure)) for figure in some]  # made by matplotlib, not by users
        for kind, some in figures.items()
    }
    sections = sections_of(significance, drawings) if comparison.metrics else []
    warnings = list(comparison.notes)
    unfinished = unfinished_table(comparison)
    if unfinished is not None:
        sections.append(Section("unfinished", unfinished.title, tables=[unfinished]))
        count = len(unfinished.rows)
        cells = "1 cell has" if count == 1 else f"{count} cells have"
        warnings.append(f"{cells} no result; reasons are at the end of this page.")
    ours = significance.reference
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=one_line(f"{comparison.dataset}: side by side"),
            light=palette.LIGHT,
            dark=palette.DARK,
            settings=common_settings(comparison),
            lead=lead(significance),
            warnings=[one_line(text) for text in warnings],
            tiles=tiles(significance),
            sections=sections,
            indices=significance.row_indices,
            reference=ours.label if ours else None,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recbole_edt.compare.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["one_line"] = one_line
    environment.globals["row_colours"] = palette.ROW_COLOURS
    return environment
