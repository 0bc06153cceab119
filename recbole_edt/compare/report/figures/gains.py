"""Gains by group: the reference minus its strongest competitors, with intervals."""

from recbole_edt.compare.compared_run import in_group
from recbole_edt.compare.report.bootstrap import Effect
from recbole_edt.compare.report.figures.canvas import (
    INK,
    RULE,
    SMALL,
    SOFT,
    ReportFigure,
    points,
    round_ticks,
)
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.texts import interval_text, metric_title
from recbole_edt.compare.results import RowResult
from recbole_edt.pages.palette import row_colour

GROUPINGS = {
    "dominant_share": "share of the dominant domain",
    "history_length": "interactions before the target",
    "target_popularity": "popularity of the target",
}
_LEFT, _TOP, _HEIGHT, _STEP = 58, 44, 192, 15  # CSS pixels

_Group = tuple[str, int, dict[str, Effect]]  # title, targets, effect by row


def gain_figures(significance: Significance) -> list[ReportFigure]:
    """Return one figure per grouping of targets."""
    ours, others = significance.reference, significance.close_competitors
    if ours is None or not others:
        return []
    metric = significance.comparison.metrics[0]
    record, ranks = next(
        (run.record, run.ranks) for run in ours.runs.values() if run.ranks is not None
    )
    figures = []
    for grouping, title in GROUPINGS.items():
        groups: list[_Group] = []
        for name in record.test.groups.get(grouping, {}):
            targets = in_group(ranks, grouping, name)
            if targets.any():
                pairs = [(ours, other) for other in others]
                effects = significance.effects(pairs, [metric], targets)
                by_row = {second: effect for (_, second, _), (_, effect) in effects.items()}
                groups.append((group_title(name), int(targets.sum()), by_row))
        if any(by_row for *_, by_row in groups):
            name = f"gains-{grouping.replace('_', '-')}"
            figures.append(_gain_figure(name, title, groups, others, significance))
    return figures


def _gain_figure(
    name: str, title: str, groups: list[_Group], others: list[RowResult], significance: Significance
) -> ReportFigure:
    metric, indices = significance.comparison.metrics[0], significance.row_indices
    step = max(76, _STEP * len(others) + 16)
    width = step * len(groups)
    figure = ReportFigure(name, f"Gain by {title}", _LEFT + width + 12, _TOP + _HEIGHT + 42)
    figure.add_title(f"by {title}")
    axes = figure.add_axes(_LEFT, _TOP, width, _HEIGHT)
    axes.text((4 - _LEFT) / width, 1 + 10 / _HEIGHT, f"difference in {metric_title(metric)}",
              color=SOFT, size=SMALL, transform=axes.transAxes)  # fmt: skip
    axes.set_xlim(0, width)
    middles = [step * (k + 0.5) for k in range(len(groups))]
    axes.set_xticks(middles, [f"{title}\nn {targets:,}" for title, targets, _ in groups])
    axes.yaxis.set_major_locator(round_ticks(7))
    axes.grid(axis="y")
    axes.margins(y=0.06)
    axes.axhline(0, color=INK, linewidth=points(1.2))
    for edge in range(1, len(groups)):
        axes.axvline(step * edge, color=RULE, linewidth=points(1))
    for middle, (_, _, by_row) in zip(middles, groups, strict=True):
        for k, row in enumerate(others):
            effect = by_row.get(row.label)
            if effect is None:
                continue
            x = middle + _STEP * (k - (len(others) - 1) / 2)
            axes.plot([x, x], [effect.low, effect.high], color=row_colour(indices[row.label]),
                      linewidth=points(2))  # fmt: skip
            tip = f"{row.label}: {effect.difference:+.4f} ({interval_text(effect)})"
            figure.add_marker(axes, x, effect.difference, indices[row.label], 9, tip)
    return figure


def group_title(name: str) -> str:
    """Return a group such as ``0.6-<0.8`` as an axis shows it."""
    if name.startswith(">="):
        return f"≥ {name[2:]}"
    low, _, high = name.partition("-<")
    return f"< {high}" if low == "0" else f"{low} to < {high}"
