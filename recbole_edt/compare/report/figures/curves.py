"""Learning curves: validation by epoch, phases side by side."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from recbole_edt.compare.compared_run import ComparedRun
from recbole_edt.compare.report.figures.canvas import (
    SMALL,
    SOFT,
    ReportFigure,
    file_name,
    points,
    round_ticks,
)
from recbole_edt.compare.report.significance import Significance
from recbole_edt.pages.palette import row_colour

_LEFT, _TOP, _WIDTH, _HEIGHT, _GAP = 48, 44, 274, 114, 26  # CSS pixels
_NARROWEST = 34  # a phase
_TICK_ROOM = 24  # between two labels


class _Curve(NamedTuple):
    run: ComparedRun
    epochs: pd.DataFrame


def curve_figures(significance: Significance) -> list[ReportFigure]:
    """Return one figure per row: validation by epoch, a line per seed and fold.

    Rows that validate once have no curve and are left out.
    """
    comparison, indices = significance.comparison, significance.row_indices
    metric = comparison.metrics[0]
    curves = {
        row.label: [
            _Curve(run, run.curves)
            for whole in row.runs.values()
            for run in whole.fits
            if run.curves is not None and metric in run.curves and len(run.curves) > 1
        ]
        for row in comparison.rows
    }
    best = max((c.epochs[metric].max() for some in curves.values() for c in some), default=0)
    return [
        _curve_figure(file_name("curves", k, label), label, some, metric, best, indices[label])
        for k, (label, some) in enumerate(curves.items())
        if some
    ]


def _curve_figure(
    name: str, label: str, curves: list[_Curve], metric: str, best: float, index: int
) -> ReportFigure:
    """Draw one row; a phase begins at the same position for all seeds."""
    figure = ReportFigure(name, f"Learning curve of {label}", _LEFT + _WIDTH + 14, 200)
    figure.add_title(label)
    epochs = pd.concat([curve.epochs for curve in curves])
    ends = epochs.groupby("phase", sort=False)["epoch"].agg(["min", "max"]).astype(float)
    widths = _phase_widths((ends["max"] - ends["min"] + 1).to_list())
    left = float(_LEFT)
    for k, (phase, first, last) in enumerate(ends.itertuples()):
        axes = figure.add_axes(left, _TOP, widths[k], _HEIGHT)
        axes.set(xlim=(first - 0.5, last + 0.5), ylim=(0, max(best, 1e-9) * 1.08))
        axes.axhline(best, color=SOFT, linewidth=points(1), linestyle=(0, (2, 4)))
        axes.yaxis.set_major_locator(round_ticks(4))
        axes.grid(axis="y")
        axes.set_xticks(_epoch_ticks(int(first), int(last), _TICK_ROOM / widths[k]))
        if k:
            edge = -_GAP / 2 / widths[k]
            axes.plot([edge, edge], [0, 1.12], color=SOFT, linewidth=points(1), clip_on=False,
                      linestyle=(0, (5, 3)), transform=axes.transAxes)  # fmt: skip
            axes.set_yticklabels([])
        if len(ends) > 1:
            figure.add_label(axes, 0.5, 1.04, str(phase), widths[k] + _GAP - 4, ha="center",
                             color=SOFT, size=SMALL, transform=axes.transAxes)  # fmt: skip
        for curve in curves:
            _draw_seed(figure, axes, curve, str(phase), metric, index)
        left += widths[k] + _GAP
    middle = (_LEFT + _WIDTH / 2) / figure.width
    figure.figure.text(middle, 16 / figure.height, "epoch", ha="center", color=SOFT, size=SMALL)
    return figure


def _phase_widths(epochs: list[float]) -> list[float]:
    """Return the width of each phase: by its epochs, but none too narrow for a label."""
    room = _WIDTH - _GAP * (len(epochs) - 1)
    spare = max(room - _NARROWEST * len(epochs), 0)
    narrowest = (room - spare) / len(epochs)
    return [narrowest + spare * n / sum(epochs) for n in epochs]


def _epoch_ticks(first: int, last: int, room: float) -> list[int]:
    """Return first, last and round epochs whose labels have room.

    Parameters
    ----------
    first, last : int
        Epochs.
    room : float
        Between two labels, as a share of the axis.
    """
    gap = room * (last - first + 1)
    ticks = [first]
    for tick in round_ticks(4, integer=True).tick_values(first, last):
        if tick - ticks[-1] >= gap and last - tick >= gap:
            ticks.append(int(tick))
    return [*ticks, last] if last - ticks[-1] >= gap else ticks


def _draw_seed(
    figure: ReportFigure, axes: Axes, curve: _Curve, phase: str, metric: str, index: int
) -> None:
    rows = curve.epochs[curve.epochs["phase"] == phase]
    values = dict(zip(rows["epoch"].astype(int), rows[metric], strict=True))
    colour = row_colour(index)
    if len(values) > 1:
        axes.plot(
            list(values), list(values.values()), color=colour, linewidth=points(1.6), alpha=0.8
        )
    best = next((p.best_epoch for p in curve.run.record.phases if p.name == phase), None)
    for epoch in best.values() if isinstance(best, dict) else [best]:
        if epoch is not None and epoch in values:
            figure.add_marker(axes, epoch, values[epoch], index, 6.4, f"best epoch {epoch}")
