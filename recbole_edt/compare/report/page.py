"""The self-contained HTML report: no script, no request, light and dark.

Order and words of the sections are in the template.
"""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from recbole_edt.compare.report.figures import Figures
from recbole_edt.compare.report.figures.files import inline_svg
from recbole_edt.compare.report.headline import LEVEL, is_significant, lead, tiles
from recbole_edt.compare.report.significance import PairTest, Significance
from recbole_edt.compare.report.table import Table, text_rows
from recbole_edt.compare.report.tables import (
    common_settings,
    expert_table,
    fold_table,
    gain_table,
    phase_table,
    score_table,
    significance_table,
    training_table,
    unfinished_table,
)
from recbole_edt.compare.report.texts import EMPTY, keys_text, metric_title, one_line
from recbole_edt.compare.results import ComparisonResult, RowResult
from recbole_edt.evaluation.list_metrics import is_list_metric
from recbole_edt.pages import environment, palette
from recbole_edt.runs import RunRecord

_SPAN = (6, 154)  # ends of the drawing in a table of tests


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
    pages = environment("recbole_edt.compare.report")
    pages.filters["one_line"] = one_line
    pages.globals["row_colours"] = palette.ROW_COLOURS
    return pages.get_template("report.html.j2").render(
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


def contents_of(significance: Significance) -> dict[str, Any]:
    """Return the tables of the page's sections and what else their templates name.

    Parameters
    ----------
    significance : Significance
        Of a comparison with at least one finished run.
    """
    comparison, ours = significance.comparison, significance.reference
    return {
        "name": one_line(ours.label) if ours else "",
        "metric": metric_title(comparison.metrics[0]),
        "level": LEVEL,
        "scores": _score_tables(comparison),
        "lists": [score_table(comparison, metric) for metric in _list_metrics(comparison)],
        "tests": significance_table(significance),
        "spans": _spans(significance),
        "competitors": [row.label for row in significance.close_competitors],
        "training": training_table(comparison),
        "configurations": _configurations(comparison),
        "versions": _versions(comparison),
        "folders": _folders(comparison),
    }


def _score_tables(comparison: ComparisonResult) -> list[Table]:
    apart = _list_metrics(comparison)
    shown = [metric for metric in comparison.metrics if metric not in apart]
    first, *others = (score_table(comparison, metric) for metric in shown)
    tables = [first, gain_table(comparison), *others]
    optional = [fold_table(comparison), expert_table(comparison), phase_table(comparison)]
    return tables + [table for table in optional if table is not None]


def _list_metrics(comparison: ComparisonResult) -> list[str]:
    """Return the metrics of lists but the main metric, which is among the scores."""
    return [metric for metric in comparison.metrics[1:] if is_list_metric(metric)]


def _spans(significance: Significance) -> list[dict[str, Any]]:
    """Return each test's difference and interval as positions in a small drawing."""
    tests = significance.against_reference(significance.comparison.metrics[0])
    ends = [0.0, *(t.effect.low for t in tests), *(t.effect.high for t in tests)]
    low, high = min(ends), max(ends)

    def position(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_SPAN[0] + share * (_SPAN[1] - _SPAN[0]), 1)

    def span(test: PairTest) -> dict[str, Any]:
        effect = test.effect
        return {
            "zero": position(0),
            "low": position(effect.low),
            "high": position(effect.high),
            "middle": position(effect.difference),
            "index": significance.row_indices[test.second],
            "is_significant": is_significant(test),
        }

    return [span(test) for test in tests]


def _configurations(comparison: ComparisonResult) -> Table:
    columns: list[tuple[str, Callable[[RowResult], str]]] = [
        ("row", lambda row: row.label),
        ("model", lambda row: row.model),
        ("keys", lambda row: keys_text(row.keys)),
        ("tuning", _tuning),
        ("artefacts", lambda row: _distinct(row, _artefacts)),
        ("commit", lambda row: _distinct(row, lambda record: _commit(record.git or ""))),
        ("seeds", lambda row: ", ".join(map(str, row.runs))),
    ]
    rows = text_rows([make(row) or EMPTY for _, make in columns] for row in comparison.rows)
    notes = [f"Keys of all rows: {keys_text(comparison.keys)}."] if comparison.keys else []
    return Table("ladder", "Configurations", [name for name, _ in columns], rows, notes)


def _artefacts(record: RunRecord) -> str:
    return keys_text(record.artefacts.to_dict()) if record.artefacts else ""


def _commit(text: str) -> str:
    """Return a short commit that still shows whether the checkout had changes."""
    return text[:12] + "-dirty" * (text.endswith("-dirty") and len(text) > 18)


def _tuning(row: RowResult) -> str:
    if not row.tuning:
        return "none"
    best = keys_text(row.tuning.get("best") or {})
    return f"{row.tuning.get('trials')} trials" + (f"; best {best}" if best else "")


def _distinct(row: RowResult, make: Callable[[RunRecord], str]) -> str:
    return "; ".join(dict.fromkeys(make(run.record) for run in row.runs.values()))


def _versions(comparison: ComparisonResult) -> dict[str, list[str]]:
    """Return the runs that were made by each set of versions."""
    runs: dict[str, list[str]] = {}
    for row, seed, run in comparison.runs():
        text = keys_text(run.record.versions)
        runs.setdefault(text, []).append(f"{row.label} (seed {seed})")
    return runs


def _folders(comparison: ComparisonResult) -> Table:
    lines = [(row.label, str(seed), str(run.path)) for row, seed, run in comparison.runs()]
    return Table("runs", "Folders of all runs", ["row", "seed", "folder"], text_rows(lines))
