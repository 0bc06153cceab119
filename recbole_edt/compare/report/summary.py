"""Means, marks, gains and the facts of training, as tables and plots show them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_edt.compare.results import Comparison, Row
from recbole_edt.compare.runs import FINAL, last_best

OURS = "LLMEDT"
BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Score:
    """A metric over seeds; `std` (of the sample) is None for one seed."""

    mean: float
    std: float | None
    seeds: int


def score(
    row: Row, metric: str, domain: str | None = None, part: str = "test", variant: str = FINAL
) -> Score | None:
    """Return mean and standard deviation over a row's finished seeds, None without any."""
    values = list(row.values(metric, domain, part, variant).values())
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Score(float(np.mean(values)), std, len(values))


def reference(comparison: Comparison) -> Row | None:
    """Return the row that the others are compared with.

    The row called LLMEDT, else the first of that model, else the one with the best validation
    score; None when no run is finished.
    """
    finished = [row for row in comparison.rows if row.runs]
    named = [row for row in finished if row.label == OURS]
    ours = [row for row in finished if row.model == OURS]
    ranked = named or ours or _by_validation(comparison, finished)
    return ranked[0] if ranked else None


def competitors(comparison: Comparison, row: Row) -> list[Row]:
    """Return the rows that a row competes with, the best on validation first.

    Rows of another model compete; where there are none (an ablation), all other rows do.
    """
    others = [other for other in comparison.rows if other is not row and other.runs]
    competing = [other for other in others if other.model != row.model] or others
    return _by_validation(comparison, competing)


def best_other(comparison: Comparison, row: Row, domain: str | None = None) -> Row | None:
    """Return the strongest of the `competitors`, chosen on validation in this domain."""
    ranked = _by_validation(comparison, competitors(comparison, row), domain)
    return ranked[0] if ranked else None


def above_on_test(comparison: Comparison, row: Row, domain: str | None = None) -> list[Row]:
    """Return the `competitors` whose test score is higher, whatever validation said of them."""
    metric = comparison.metrics[0]
    own = score(row, metric, domain)
    found = [(other, score(other, metric, domain)) for other in competitors(comparison, row)]
    return [other for other, its in found if own and its and its.mean > own.mean]


def _by_validation(comparison: Comparison, rows: list[Row], domain: str | None = None) -> list[Row]:
    """Return the rows that have a validation score, best first; the earlier one of equals."""
    scored = [(score(row, comparison.metrics[0], domain, "valid"), row) for row in rows]
    found = [(s.mean, row) for s, row in scored if s is not None]
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]


def gain(
    comparison: Comparison, row: Row, domain: str | None = None, metric: str | None = None
) -> float | None:
    """Return the relative test gain of a row over its `best_other`, None when undefined."""
    metric = metric or comparison.metrics[0]
    other = best_other(comparison, row, domain)
    own = score(row, metric, domain)
    base = score(other, metric, domain) if other else None
    if own is None or base is None or base.mean == 0:
        return None
    return own.mean / base.mean - 1


def marks(
    comparison: Comparison, metric: str, domain: str | None = None, variant: str = FINAL
) -> dict[str, str]:
    """Return `BEST` and `SECOND` by label; equal means share a mark, one row alone has none."""
    means = {
        row.label: found.mean
        for row in comparison.rows
        if (found := score(row, metric, domain, variant=variant)) is not None
    }
    ranked = sorted(set(means.values()), reverse=True)
    if len(ranked) < 2:
        return {}
    names = dict(zip(ranked, (BEST, SECOND), strict=False))
    return {label: names[mean] for label, mean in means.items() if mean in names}


@dataclass(frozen=True)
class Training:
    """How a row was trained; None where its runs do not say.

    Attributes
    ----------
    phases : list of str
        Per phase: name, mean best epoch and mean number of epochs over seeds.
    converged : str
        ``yes``, ``no`` (the best epoch was the last one), ``2 of 3``, or ``-`` for models that
        learn nothing.
    seconds, peak_mb : float or None
        Mean training time and largest peak of memory.
    parameters, trials : int or None
        Trainable parameters, tuning trials.
    """

    phases: list[str]
    converged: str
    seconds: float | None
    peak_mb: float | None
    parameters: int | None
    trials: int | None


def training(row: Row) -> Training:
    """Return the facts of a row's training over its finished seeds."""
    runs = list(row.runs.values())
    costs = [run.metrics.get("cost", {}) for run in runs]
    seconds = [cost["train_seconds"] for cost in costs if "train_seconds" in cost]
    peaks = [cost["peak_rss_mb"] for cost in costs if "peak_rss_mb" in cost]
    sizes = [
        size
        for run in runs
        if (size := run.metrics.get("parameters", run.metrics.get("cost", {}).get("parameters")))
    ]
    return Training(
        phases=_phases([run.metrics.get("phases", []) for run in runs]),
        converged=_converged(runs),
        seconds=float(np.mean(seconds)) if seconds else None,
        peak_mb=max(peaks) if peaks else None,
        parameters=max(sizes) if sizes else None,
        trials=row.tuning.get("trials") if row.tuning else None,
    )


def _phases(by_run: list[list[dict[str, Any]]]) -> list[str]:
    names = dict.fromkeys(phase["name"] for phases in by_run for phase in phases)
    lines = []
    for name in names:
        found = [phase for phases in by_run for phase in phases if phase["name"] == name]
        epochs = np.mean([phase["epochs"] for phase in found])
        best = np.mean([last_best(phase) for phase in found])
        lines.append(f"{name} {best:.4g}/{epochs:.4g}")
    return lines


def _converged(runs: list[Any]) -> str:
    answers = [run.converged for run in runs if run.converged is not None]
    if not answers:
        return "-"
    if len(set(answers)) == 1:
        return "yes" if answers[0] else "no"
    return f"{sum(answers)} of {len(answers)}"
