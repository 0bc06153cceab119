"""The plots of the report, each a list of small drawings that wrap on narrow screens."""

import pandas as pd

from recbole_edt.compare.report import svg
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.stats import Effect
from recbole_edt.compare.report.summary import competitors, score, training
from recbole_edt.compare.report.tables import metric_title, scope_title
from recbole_edt.compare.results import Comparison, Row
from recbole_edt.compare.runs import Run, in_group

GROUPINGS = {
    "dominant_share": "share of the dominant domain",
    "history_length": "interactions before the target",
    "target_popularity": "popularity of the target",
}
_FASTEST = 0.1  # seconds; a logarithm needs more than none
_COMPARED, _CLOSE = 4, 0.5  # competitors of a drawing: how many, and how close to the first
_LABEL = 215  # pixels of a label beside a bar
_PHASE_GAP, _TICK_ROOM = 24, 24


def palette(significance: Significance) -> dict[str, int]:
    """Return each row's colour, the same in all plots; the reference has the first one."""
    rows, ours = significance.comparison.rows, significance.reference
    ordered = [row for row in rows if row is ours] + [row for row in rows if row is not ours]
    return {row.label: k for k, row in enumerate(ordered)}


def bars(significance: Significance, colours: dict[str, int]) -> list[str]:
    """Return one drawing per scope: a bar per row, its interval over users, a dot per seed."""
    comparison = significance.comparison
    metric = comparison.metrics[0]
    rows = [row for row in comparison.rows if row.runs]
    label = max((svg.text_pixels(row.label, _LABEL) for row in rows), default=0)
    left, right, high = label + 12, label + 12 + 235, 24 + 24 * len(rows)
    drawings = []
    for domain in comparison.scopes:
        intervals = significance.intervals(metric, domain)
        seeds = {row.label: list(row.values(metric, domain).values()) for row in rows}
        ends = [high for _, high in intervals.values()] + [v for vs in seeds.values() for v in vs]
        top = max([*ends, 1e-9]) * 1.03
        x = svg.Scale(0, top, left, right)
        parts = [svg.text(left, 14, scope_title(domain), class_="facet", limit=260)]
        parts += svg.x_axis(x, svg.ticks(0, top, 4), 22, high, metric_title(metric))
        for k, row in enumerate(rows):
            found = score(row, metric, domain)
            if found is not None:
                y = 34 + 24 * k
                parts += _bar(row, y, x, found.mean, seeds[row.label], colours[row.label])
                parts += _whisker(intervals.get(row.label), y, x)
                parts.append(svg.text(right + 10, y + 4, f"{found.mean:.4f}", class_="value"))
        title = f"{metric_title(metric)}, {scope_title(domain)}"
        drawings.append(svg.drawing((right + 62, high + 42), title, parts))
    return drawings


def _bar(
    row: Row, y: float, x: svg.Scale, mean: float, seeds: list[float], colour: int
) -> list[str]:
    parts = [
        svg.text(x.start - 8, y + 4, row.label, "end", limit=_LABEL),
        svg.element(
            "rect", x=x.start, y=float(y - 7), width=x(mean) - x.start, height=14, rx=2,
            class_="bar", style=f"fill:{svg.colour(colour)}",
        ),
    ]  # fmt: skip
    dots = [
        svg.element("circle", cx=x(value), cy=float(y + 3.5), r=2.2, class_="seed")
        for value in seeds
    ]
    return parts + (dots if len(seeds) > 1 else [])


def _whisker(ends: tuple[float, float] | None, y: float, x: svg.Scale) -> list[str]:
    if ends is None:
        return []
    low, high = map(x, ends)
    return [
        svg.line(low, y - 2, high, y - 2, "whisker"),
        svg.line(low, y - 5, low, y + 1, "whisker"),
        svg.line(high, y - 5, high, y + 1, "whisker"),
    ]


def curves(comparison: Comparison, colours: dict[str, int]) -> list[str]:
    """Return one drawing per row: validation by epoch, a line per seed, phases side by side.

    Rows that validate once have no curve and are left out.
    """
    metric = comparison.metrics[0]
    found = {
        row.label: [
            (run, run.curves)
            for run in row.runs.values()
            if run.curves is not None and metric in run.curves and len(run.curves) > 1
        ]
        for row in comparison.rows
    }
    values = [c[metric].max() for runs in found.values() for _, c in runs]
    if not values:
        return []
    best = max(values)
    y = svg.Scale(0, max(best, 1e-9) * 1.08, 160, 46)
    return [
        _curve_panel(label, runs, metric, y, best, colours[label])
        for label, runs in found.items()
        if runs
    ]


def _curve_panel(
    label: str,
    runs: list[tuple[Run, pd.DataFrame]],
    metric: str,
    y: svg.Scale,
    best: float,
    colour: int,
) -> str:
    """Draw one row; a phase begins at the same place for all seeds."""
    left, right, bottom = 46.0, 320.0, y.start
    phases = _phase_scales([frame for _, frame in runs], left, right)
    parts = [svg.text(4, 14, label, class_="facet", limit=316)]
    parts += svg.y_axis(y, svg.ticks(0, y.high, 4), left, right, "")
    parts.append(svg.line(left, y(best), right, y(best), "best"))
    for k, (name, x) in enumerate(phases.items()):
        if k:
            edge = x.start - _PHASE_GAP / 2
            parts.append(svg.line(edge, 30, edge, bottom, "phase"))
        if len(phases) > 1:
            room = max(x.end - x.start, 30)
            parts.append(svg.text((x.start + x.end) / 2, 36, name, "middle", "tick", room))
        at = _epoch_ticks(x)
        for tick, shown in zip(at, svg.labels(at), strict=True):
            parts.append(svg.text(x(tick), bottom + 15, shown, "middle", "tick"))
    for run, frame in runs:
        parts += _seed_lines(run, frame, metric, phases, y, colour)
    parts.append(svg.text((left + right) / 2, bottom + 31, "epoch", "middle", "axis"))
    return svg.drawing((right + 12, bottom + 38), f"Learning curve of {label}", parts)


def _phase_scales(frames: list[pd.DataFrame], left: float, right: float) -> dict[str, svg.Scale]:
    """Return an axis of epochs per phase, side by side and with a gap between."""
    rows = pd.concat(frames)
    ends = rows.groupby("phase", sort=False)["epoch"].agg(["min", "max"]).astype(float)
    spans = ends["max"] - ends["min"] + 1
    pixels = (right - left - _PHASE_GAP * (len(ends) - 1)) / spans.sum()
    scales, start = {}, left
    for name, (low, high) in zip(ends.index, ends.to_numpy(), strict=True):
        end = start + spans[name] * pixels
        scales[str(name)] = svg.Scale(low - 0.5, high + 0.5, start, end)
        start = end + _PHASE_GAP
    return scales


def _epoch_ticks(x: svg.Scale) -> list[float]:
    """Return first, last and round epochs of a phase that leave room for their labels."""
    first, last = x.low + 0.5, x.high - 0.5
    round_ones = [tick for tick in svg.ticks(first, last, 3) if tick == int(tick)]
    kept = [first]
    for tick in (t for t in round_ones if first < t < last):
        if min(x(tick) - x(kept[-1]), x(last) - x(tick)) >= _TICK_ROOM:
            kept.append(tick)
    return [*kept, last] if x(last) - x(kept[-1]) >= _TICK_ROOM else kept


def _seed_lines(
    run: Run,
    frame: pd.DataFrame,
    metric: str,
    phases: dict[str, svg.Scale],
    y: svg.Scale,
    colour: int,
) -> list[str]:
    parts = []
    best = {phase["name"]: phase["best_epoch"] for phase in run.metrics.get("phases", [])}
    for name, rows in frame.groupby("phase", sort=False):
        points = {
            int(epoch): (phases[str(name)](epoch), y(value))
            for epoch, value in zip(rows["epoch"], rows[metric], strict=True)
        }
        style = f"stroke:{svg.colour(colour)}"
        if len(points) > 1:
            parts.append(svg.path(list(points.values()), "curve", style))
        chosen = best.get(name)
        for epoch in chosen.values() if isinstance(chosen, dict) else [chosen]:
            if epoch in points:
                parts.append(svg.marker(*points[epoch], colour, f"best epoch {epoch}", 3.2))
    return parts


def compared_rows(significance: Significance) -> list[Row]:
    """Return the reference's strongest competitors by validation, those that have ranks.

    A row with less than half of the first one's score is left out: its distance would set a scale
    on which the others cannot be told from zero.
    """
    ours, comparison = significance.reference, significance.comparison
    if ours is None or ours not in significance.rows:
        return []
    ranked = [row for row in competitors(comparison, ours) if row in significance.rows]
    scores = [score(row, comparison.metrics[0], part="valid") for row in ranked]
    means = [found.mean for found in scores if found is not None]  # competitors have one
    close = [row for row, mean in zip(ranked, means, strict=True) if mean >= _CLOSE * means[0]]
    return close[:_COMPARED]


def groups(significance: Significance, colours: dict[str, int]) -> list[str]:
    """Return one drawing per grouping: the reference minus its competitors, with intervals."""
    ours, others = significance.reference, compared_rows(significance)
    if ours is None or not others:
        return []
    metric = significance.comparison.metrics[0]
    run = next(run for run in ours.runs.values() if run.ranks is not None)
    ranks = run.ranks
    assert ranks is not None
    drawings = []
    for grouping, title in GROUPINGS.items():
        named = run.metrics["test"].get("groups", {}).get(grouping, {})
        found = []
        for name in named:
            targets = in_group(ranks, grouping, name)
            if not targets.any():
                continue
            effects = significance.effects([(ours, other) for other in others], [metric], targets)
            by_row = {key[1]: effect for key, (_, effect) in effects.items()}
            found.append((name, int(targets.sum()), by_row))
        if any(by_row for _, _, by_row in found):
            drawings.append(_group_panel(title, found, others, metric, colours))
    return drawings


def _group_panel(
    title: str,
    found: list[tuple[str, int, dict[str, Effect]]],
    others: list[Row],
    metric: str,
    colours: dict[str, int],
) -> str:
    effects = [effect for _, _, by_row in found for effect in by_row.values()]
    ends = [0.0, *(e.low for e in effects), *(e.high for e in effects)]
    pad = 0.06 * (max(ends) - min(ends) or 1)
    low, high = min(ends) - pad, max(ends) + pad
    left, top, bottom = 56, 44, 236
    step = max(76, 15 * len(others) + 16)
    right = left + step * len(found)
    y = svg.Scale(low, high, bottom, top)
    parts = svg.y_axis(y, svg.ticks(low, high), left, right, "")
    parts.append(svg.text(4, 14, f"by {title}", class_="facet"))
    parts.append(svg.text(4, 31, f"difference in {metric_title(metric)}", class_="axis"))
    parts.append(svg.line(left, y(0), right, y(0), "zero"))
    for k, (name, targets, by_row) in enumerate(found):
        middle = left + step * (k + 0.5)
        if k:
            parts.append(svg.line(middle - step / 2, top, middle - step / 2, bottom, "grid"))
        parts.append(svg.text(middle, bottom + 16, group_title(name), "middle", "tick"))
        parts.append(svg.text(middle, bottom + 31, f"n {targets:,}", "middle", "faint"))
        for j, row in enumerate(others):
            effect = by_row.get(row.label)
            if effect is None:
                continue
            x = middle + 15 * (j - (len(others) - 1) / 2)
            style = f"stroke:{svg.colour(colours[row.label])}"
            parts.append(svg.line(x, y(effect.low), x, y(effect.high), "span", style))
            tip = f"{row.label}: {effect.difference:+.4f} ({effect.low:+.4f} to {effect.high:+.4f})"
            parts.append(svg.marker(x, y(effect.difference), colours[row.label], tip, 4.5))
    return svg.drawing((right + 12, bottom + 40), f"Gain by {title}", parts)


def group_title(name: str) -> str:
    """Return a group as an axis shows it."""
    if name.startswith(">="):
        return f"≥ {name[2:]}"
    low, _, high = name.partition("-<")
    return f"< {high}" if low == "0" else f"{low} to < {high}"


def cost(significance: Significance, colours: dict[str, int]) -> list[str]:
    """Return one drawing: training seconds against the main metric, labels in a column."""
    comparison = significance.comparison
    metric = comparison.metrics[0]
    intervals = significance.intervals(metric, None)
    points = []
    for row in comparison.rows:
        found, seconds = score(row, metric), training(row).seconds
        if found is not None and seconds is not None:
            points.append((max(seconds, _FASTEST), found.mean, row))
    if not points:
        return []
    points.sort(key=lambda point: -point[1])
    ends = [point[1] for point in points] + [e for pair in intervals.values() for e in pair]
    high = max(*ends, 1e-9) * 1.05
    fast, slow = min(p[0] for p in points) / 1.5, max(p[0] for p in points) * 1.5
    left, right, top = 56, 470, 34
    bottom = max(320, top + 19 * len(points))
    x, y = svg.Scale(fast, slow, left + 8, right, log=True), svg.Scale(0, high, bottom, top)
    parts = svg.y_axis(y, svg.ticks(0, high), left, right, metric_title(metric))
    parts += svg.x_axis(x, svg.log_ticks(fast, slow), top, bottom, "training, seconds (log)")
    at = spread([y(mean) for _, mean, _ in points], 19, top, bottom)
    for (seconds, mean, row), label_y in zip(points, at, strict=True):
        px, py, index = x(seconds), y(mean), colours[row.label]
        style = f"stroke:{svg.colour(index)}"
        leader = [(px, py), (right + 6, label_y), (right + 16, label_y)]
        parts.append(svg.path(leader, "leader", ""))
        if row.label in intervals:
            low_y, high_y = map(y, intervals[row.label])
            parts.append(svg.line(px, low_y, px, high_y, "span", style))
        parts.append(svg.marker(px, py, index, f"{row.label}: {mean:.4f}, {seconds:,.1f} s", 6))
        parts.append(svg.marker(right + 24, label_y, index, size=4))
        parts.append(svg.text(right + 34, label_y + 4, row.label, limit=230))
    return [svg.drawing((right + 268, bottom + 42), "Cost against accuracy", parts)]


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Return rising places at least `gap` apart, near those wanted and within low and high.

    Parameters
    ----------
    wanted : list of float
        Rising.
    """
    placed: list[float] = []
    for place in wanted:
        placed.append(max(place, placed[-1] + gap) if placed else max(place, low))
    limit = high
    for k in range(len(placed) - 1, -1, -1):
        placed[k] = min(placed[k], limit)
        limit = placed[k] - gap
    return placed
