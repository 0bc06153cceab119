"""Cost against accuracy: training time and the main metric of every row."""

import math

from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from recbole_edt.compare.report.figures.canvas import (
    RULE,
    SMALL,
    SOFT,
    ReportFigure,
    points,
    round_ticks,
)
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import score, training
from recbole_edt.compare.report.texts import metric_title
from recbole_edt.compare.results import RowResult
from recbole_edt.pages.palette import row_colour

_FASTEST = 0.1  # seconds; 0 has no logarithm
_LEFT, _TOP, _WIDTH, _LABEL, _LINE = 64, 34, 406, 230, 19  # CSS pixels


def cost_figures(significance: Significance) -> list[ReportFigure]:
    """Return one figure: training seconds against the main metric, labels in a column."""
    comparison, indices = significance.comparison, significance.row_indices
    metric = comparison.metrics[0]
    intervals = significance.intervals(metric, None)
    points_of: list[tuple[float, float, RowResult]] = []
    for row in comparison.rows:
        on_test, time = score(row, metric), training(row).seconds
        if on_test is not None and time is not None:
            points_of.append((max(time, _FASTEST), on_test.mean, row))
    points_of.sort(key=lambda point: -point[1])
    height = max(286, _LINE * len(points_of))
    figure = ReportFigure(
        "cost", "Cost against accuracy", _LEFT + _WIDTH + 38 + _LABEL, _TOP + height + 42
    )
    axes = figure.add_axes(_LEFT, _TOP, _WIDTH, height)
    ends = [mean for _, mean, _ in points_of] + [end for pair in intervals.values() for end in pair]
    low, high = min(p[0] for p in points_of) / 1.5, max(p[0] for p in points_of) * 1.5
    axes.set(xscale="log", xlim=(low, high), ylim=(0, max(*ends, 1e-9) * 1.05))
    axes.set_xlabel("training, seconds (log)")
    axes.text(0, 1 + 12 / height, metric_title(metric), ha="right", color=SOFT, size=SMALL,
              transform=axes.transAxes)  # fmt: skip
    axes.xaxis.set_major_locator(LogLocator(subs=_log_steps(low, high), numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_major_locator(round_ticks(7))
    axes.grid()
    to_axes = axes.transData + axes.transAxes.inverted()
    at = [to_axes.transform((seconds, mean)) for seconds, mean, _ in points_of]
    labels = spread([(1 - y) * height for _, y in at], _LINE, 0, height)
    for (seconds, mean, row), (x, y), label in zip(points_of, at, labels, strict=True):
        index, label_y = indices[row.label], 1 - label / height
        leader = [x, 1 + 6 / _WIDTH, 1 + 16 / _WIDTH], [y, label_y, label_y]
        axes.plot(*leader, color=RULE, linewidth=points(1), clip_on=False,
                  transform=axes.transAxes, zorder=1)  # fmt: skip
        if row.label in intervals:
            axes.plot([seconds, seconds], intervals[row.label], color=row_colour(index),
                      linewidth=points(2))  # fmt: skip
        figure.add_marker(
            axes, seconds, mean, index, 12, f"{row.label}: {mean:.4f}, {seconds:,.1f} s"
        )
        figure.add_marker(axes, 1 + 24 / _WIDTH, label_y, index, 8, transform=axes.transAxes)
        figure.add_label(axes, 1 + 34 / _WIDTH, label_y, row.label, _LABEL, va="center",
                         transform=axes.transAxes)  # fmt: skip
    return [figure]


def _log_steps(low: float, high: float) -> tuple[int, ...]:
    """Return the ticks of a decade: fewer the more decades there are."""
    decades = math.log10(high / low)
    return (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Return rising positions at least `gap` apart, near those wanted and within low and high.

    Parameters
    ----------
    wanted : list of float
        Rising.
    """
    positions: list[float] = []
    for position in wanted:
        positions.append(max(position, positions[-1] + gap) if positions else max(position, low))
    limit = high
    for k in range(len(positions) - 1, -1, -1):
        positions[k] = min(positions[k], limit)
        limit = positions[k] - gap
    return positions
