"""Bars: the main metric of every row, per domain."""

from recbole_edt.compare.report.figures.canvas import (
    INK,
    PAGE,
    ReportFigure,
    file_name,
    points,
    round_ticks,
    text_width,
)
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import score
from recbole_edt.compare.report.texts import metric_title, one_line, scope_title
from recbole_edt.compare.results import RowResult
from recbole_edt.pages.palette import row_colour

_LABEL, _BARS, _VALUE, _ROW = 215, 235, 66, 24  # CSS pixels; the first one at most


def bar_figures(significance: Significance) -> list[ReportFigure]:
    """Return one figure per scope: a bar per row, its interval over users, a dot per seed."""
    comparison = significance.comparison
    rows = [row for row in comparison.rows if row.runs]
    label = min(max(text_width(one_line(row.label)) for row in rows) + 2, _LABEL)
    return [
        _bar_figure(significance, rows, domain, file_name("bars", k, scope_title(domain)), label)
        for k, domain in enumerate(comparison.scopes)
    ]


def _bar_figure(
    significance: Significance,
    rows: list[RowResult],
    domain: str | None,
    name: str,
    label: float,
) -> ReportFigure:
    metric, indices = significance.comparison.metrics[0], significance.row_indices
    intervals = significance.intervals(metric, domain)
    seeds = {row.label: list(row.values(metric, domain).values()) for row in rows}
    largest = [high for _, high in intervals.values()] + [v for vs in seeds.values() for v in vs]
    left, height = label + 12, _ROW * len(rows)
    title = f"{metric_title(metric)}, {scope_title(domain)}"
    figure = ReportFigure(name, title, left + _BARS + _VALUE, height + 66)
    figure.add_title(scope_title(domain), left)
    axes = figure.add_axes(left, 24, _BARS, height)
    axes.set(xlim=(0, max([*largest, 1e-9]) * 1.03), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.set_xlabel(metric_title(metric))
    axes.xaxis.set_major_locator(round_ticks(4))
    axes.grid(axis="x")
    outside = axes.get_yaxis_transform()
    for y, row in enumerate(rows):
        mean = score(row, metric, domain)
        if mean is None:
            continue
        figure.add_label(
            axes, -8 / _BARS, y, row.label, label, ha="right", va="center", transform=outside
        )
        axes.barh(y, mean.mean, height=14 / _ROW, color=row_colour(indices[row.label]), alpha=0.78)
        if row.label in intervals:
            low, high = intervals[row.label]
            axes.errorbar(
                mean.mean, y - 0.08, xerr=[[mean.mean - low], [high - mean.mean]], fmt="none",
                color=INK, elinewidth=points(1.4), capsize=points(3), capthick=points(1.4),
            )  # fmt: skip
        if len(seeds[row.label]) > 1:
            axes.plot(
                seeds[row.label], [y + 0.15] * len(seeds[row.label]), "o", markersize=points(4.4),
                markerfacecolor=PAGE, markeredgecolor=INK, markeredgewidth=points(0.8),
            )  # fmt: skip
        value = 1 + 10 / _BARS
        axes.text(value, y, f"{mean.mean:.4f}", va="center", transform=outside)
    return figure
