"""The sections of the page: which tables and figures, in which order, with which words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from recbole_edt.compare.report.headline import LEVEL, is_significant
from recbole_edt.compare.report.significance import PairTest, Significance
from recbole_edt.compare.report.table import Table, text_rows
from recbole_edt.compare.report.tables import (
    expert_table,
    gain_table,
    phase_table,
    score_table,
    significance_table,
    training_table,
)
from recbole_edt.compare.report.texts import EMPTY, keys_text, metric_title, one_line
from recbole_edt.compare.results import ComparisonResult, RowResult
from recbole_edt.runs import RunRecord

_SPAN = (6, 154)  # ends of the drawing in a table of tests


@dataclass
class Section:
    """One section of the page.

    Attributes
    ----------
    id, heading, note : str
        Link target, title and the text below it.
    figures : list of Markup
        Drawings.
    tables : list of Table
        Below the drawings.
    legend : list of str
        Labels of rows that the drawings show by their markers.
    has_swatches : bool
        Whether the tables show the rows' markers.
    spans : list of dict
        Intervals that are drawn in the lines of the tables.
    versions : list of dict
        Versions of packages (``text``) with the ``runs`` that were made by them.
    details : Table, optional
        A table that is folded.
    """

    id: str
    heading: str
    note: str = ""
    figures: list[Any] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    legend: list[str] = field(default_factory=list)
    has_swatches: bool = False
    spans: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    details: Table | None = None


def sections_of(significance: Significance, drawings: dict[str, list[Any]]) -> list[Section]:
    """Return the sections that have a table or a figure, in their order.

    Parameters
    ----------
    significance : Significance
        Of a comparison with at least one finished run.
    drawings : dict
        Markup of the figures, by section.
    """
    comparison, ours = significance.comparison, significance.reference
    name = one_line(ours.label) if ours else ""
    main = metric_title(comparison.metrics[0])
    tests = significance_table(significance)
    sections = [
        Section(
            "scores",
            "Scores",
            "Bold on a tint: best. Underlined: second best.",
            tables=_score_tables(comparison),
            has_swatches=True,
        ),
        Section(
            "bars",
            f"{main} per domain",
            "Bars: mean over seeds. Lines: 95 % interval over users (bootstrap). "
            "Dots: single seeds.",
            drawings["bars"],
        ),
        Section(
            "tests",
            f"{name} against each row",
            "Right of the line: in favour of the reference. Filled: p (Holm) below "
            f"{LEVEL}. All pairs of rows are in tests.csv.",
            tables=[] if tests is None else [tests],
            has_swatches=True,
            spans=_spans(significance),
        ),
        Section(
            "groups",
            f"Where {name} gains and where not",
            "The reference minus its strongest competitors (on validation; none with less than "
            "half of the best one's score) among users or targets of a group; above the line the "
            "reference is better. Lines: 95 % intervals over users, not corrected for the number "
            "of groups.",
            drawings["gains"],
            legend=[row.label for row in significance.close_competitors],
        ),
        Section(
            "curves",
            "Learning curves",
            f"{main} on validation by epoch, one line per seed; dots: chosen epochs (where each "
            "domain chooses its own, one dot each); dotted: the highest value of any row. Phases "
            "stand side by side, and a phase begins at the same position for all seeds. Rows "
            "that validate once have no curve.",
            drawings["curves"],
        ),
        Section(
            "cost",
            "Cost against accuracy",
            "Training time (mean over seeds, all phases; times below 0.1 s are drawn at 0.1) "
            f"against {main} on test with its 95 % interval over users.",
            drawings["cost"],
            [training_table(comparison)],
            has_swatches=True,
        ),
        Section(
            "ladder",
            "How each row was made",
            tables=[_configurations(comparison)],
            has_swatches=True,
            versions=_versions(comparison),
            details=_folders(comparison),
        ),
    ]
    return [section for section in sections if section.tables or section.figures]


def _score_tables(comparison: ComparisonResult) -> list[Table]:
    first, *others = (score_table(comparison, metric) for metric in comparison.metrics)
    tables = [first, gain_table(comparison), *others]
    optional = [expert_table(comparison), phase_table(comparison)]
    return tables + [table for table in optional if table is not None]


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


def _versions(comparison: ComparisonResult) -> list[dict[str, Any]]:
    runs: dict[str, list[str]] = {}
    for row, seed, run in comparison.runs():
        text = keys_text(run.record.versions)
        runs.setdefault(text, []).append(f"{row.label} (seed {seed})")
    return [{"text": text, "runs": names} for text, names in runs.items()]


def _folders(comparison: ComparisonResult) -> Table:
    lines = [(row.label, str(seed), str(run.path)) for row, seed, run in comparison.runs()]
    return Table("runs", "Folders of all runs", ["row", "seed", "folder"], text_rows(lines))
