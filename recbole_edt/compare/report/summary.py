"""Means over seeds, marks, gains and training, as tables and figures show them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.compare.compared_run import ComparedRun
from recbole_edt.compare.results import ComparisonResult, RowResult, Subset
from recbole_edt.evaluation.list_metrics import is_smaller_better
from recbole_edt.runs import FINAL, Phase, fold_variant

OURS = "LLMEDT"
BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Score:
    """A metric over seeds, or over folds; `std` (of the sample) is None for one of them."""

    mean: float
    std: float | None
    seeds: int


def score(
    row: RowResult,
    metric: str,
    domain: str | None = None,
    subset: Subset = "test",
    variant: str = FINAL,
) -> Score | None:
    """Return mean and standard deviation over a row's finished seeds, None without any."""
    values = list(row.values(metric, domain, subset, variant).values())
    if not values:
        return None
    return summarised(values)


def validation(comparison: ComparisonResult, row: RowResult, domain: str | None) -> Score | None:
    """Return a row's main metric on validation, by which rows are chosen.

    With folds on that of the first one: later ones validate on what earlier ones are tested on.
    """
    variant = fold_variant(1) if comparison.has_folds else FINAL
    return score(row, comparison.metrics[0], domain, "valid", variant)


def summarised(values: Sequence[float]) -> Score:
    """Return mean and standard deviation of at least one value, of as many seeds or folds."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Score(float(np.mean(values)), std, len(values))


def reference(comparison: ComparisonResult) -> RowResult | None:
    """Return the row that the others are compared with.

    The row called LLMEDT, else the first of that model, else the one with the best validation
    score; None when no run is finished.
    """
    finished = [row for row in comparison.rows if row.runs]
    named = [row for row in finished if row.label == OURS]
    ours = [row for row in finished if row.model == OURS]
    ranked = named or ours or _by_validation(comparison, finished)
    return ranked[0] if ranked else None


def competitors(comparison: ComparisonResult, row: RowResult) -> list[RowResult]:
    """Return the rows that a row competes with, the best on validation first.

    Rows of another model compete; where there are none (an ablation), all other rows do.
    """
    others = [other for other in comparison.rows if other is not row and other.runs]
    competing = [other for other in others if other.model != row.model] or others
    return _by_validation(comparison, competing)


def best_other(
    comparison: ComparisonResult, row: RowResult, domain: str | None = None
) -> RowResult | None:
    """Return the strongest of the `competitors`, chosen on validation in this domain."""
    ranked = _by_validation(comparison, competitors(comparison, row), domain)
    return ranked[0] if ranked else None


def above_on_test(
    comparison: ComparisonResult, row: RowResult, domain: str | None = None
) -> list[RowResult]:
    """Return the `competitors` whose test score is higher, whatever validation said of them."""
    metric = comparison.metrics[0]
    ours = score(row, metric, domain)
    scored = [(other, score(other, metric, domain)) for other in competitors(comparison, row)]
    return [other for other, theirs in scored if ours and theirs and theirs.mean > ours.mean]


def _by_validation(
    comparison: ComparisonResult, rows: list[RowResult], domain: str | None = None
) -> list[RowResult]:
    """Return the rows that have a validation score, best first; the earlier one of equals."""
    scored = [(validation(comparison, row, domain), row) for row in rows]
    ranked = [(s.mean, row) for s, row in scored if s is not None]
    return [row for _, row in sorted(ranked, key=lambda pair: -pair[0])]


def gain(comparison: ComparisonResult, row: RowResult, domain: str | None = None) -> float | None:
    """Return the relative test gain of a row over its `best_other`, None when undefined."""
    metric = comparison.metrics[0]
    other = best_other(comparison, row, domain)
    ours = score(row, metric, domain)
    base = score(other, metric, domain) if other else None
    if ours is None or base is None or base.mean == 0:
        return None
    return ours.mean / base.mean - 1


def marks(comparison: ComparisonResult, metric: str, domain: str | None = None) -> dict[str, str]:
    """Return `BEST` and `SECOND` by label; equal means share a mark, one row alone has none."""
    means = {
        row.label: found.mean
        for row in comparison.rows
        if (found := score(row, metric, domain)) is not None
    }
    ranked = sorted(set(means.values()), reverse=not is_smaller_better(metric))
    if len(ranked) < 2:
        return {}
    names = dict(zip(ranked, (BEST, SECOND), strict=False))
    return {label: names[mean] for label, mean in means.items() if mean in names}


@dataclass(frozen=True)
class TrainingSummary:
    """How a row was trained; None where its runs do not record it.

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


def training(row: RowResult) -> TrainingSummary:
    """Return how a row was trained, over its finished seeds."""
    runs = list(row.runs.values())
    costs = [run.record.cost for run in runs]
    return TrainingSummary(
        phases=_phases([phase for run in runs for phase in run.record.phases]),
        converged=_converged(runs),
        seconds=float(np.mean([cost.train_seconds for cost in costs])) if costs else None,
        peak_mb=max((cost.peak_rss_mb for cost in costs), default=None),
        parameters=max((c.parameters for c in costs if c.parameters is not None), default=None),
        trials=row.tuning.get("trials") if row.tuning else None,
    )


def _phases(phases: list[Phase]) -> list[str]:
    lines = []
    for name in dict.fromkeys(phase.name for phase in phases):
        of_name = [phase for phase in phases if phase.name == name]
        epochs = np.mean([phase.epochs for phase in of_name])
        best = np.mean([phase.last_best_epoch for phase in of_name])
        lines.append(f"{name} {best:.4g}/{epochs:.4g}")
    return lines


def _converged(runs: list[ComparedRun]) -> str:
    answers = [run.converged for run in runs if run.converged is not None]
    if not answers:
        return "-"
    if len(set(answers)) == 1:
        return "yes" if answers[0] else "no"
    return f"{sum(answers)} of {len(answers)}"
