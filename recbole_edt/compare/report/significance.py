"""Tests of every pair of rows, overall and per domain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt.compare.compared_run import target_values, target_weights
from recbole_edt.compare.report import bootstrap
from recbole_edt.compare.report.summary import competitors, reference, validation
from recbole_edt.compare.results import ComparisonResult, RowResult
from recbole_edt.errors import UserError
from recbole_edt.evaluation.list_metrics import has_value_per_target

_SEED = 2026
_MOST_COMPARED, _CLOSE = 4, 0.5  # competitors: how many, and how close to the first
_Seeds = tuple[int, ...]
_Pair = tuple[str, str, _Seeds]  # labels, and the seeds that both rows have
_Column = tuple[str, _Seeds, str]  # label, seeds averaged over, metric


@dataclass(frozen=True)
class PairTest:
    """One row against another.

    Attributes
    ----------
    first, second : str
        Labels; a positive difference is in favour of the first.
    domain : str or None
        None is overall.
    metric : str
        Such as ``ndcg@10``.
    seeds : tuple of int
        Seeds that both have; each user's metric is averaged over them.
    effect : bootstrap.Effect
        Difference, interval, p, effect size.
    family : str
        ``reference``: first is the reference row; ``all pairs`` otherwise.
    p_holm : float or None
        p corrected for all tests of the family with the same metric. The family ``all pairs``
        has every pair in it, the reference's too.
    """

    first: str
    second: str
    domain: str | None
    metric: str
    seeds: _Seeds
    effect: bootstrap.Effect
    family: str
    p_holm: float | None


class Significance:
    """Bootstraps of a comparison's rows, made once and shared by tests and plots.

    Parameters
    ----------
    comparison : ComparisonResult
        Runs without ranks are left out.

    Attributes
    ----------
    metrics : list of str
        The comparison's metrics that can be tested: each target has a value of its own.

    Raises
    ------
    UserError
        When two runs ranked different targets.
    """

    def __init__(self, comparison: ComparisonResult):
        self.comparison = comparison
        self.metrics = [name for name in comparison.metrics if has_value_per_target(name)]
        self.reference = reference(comparison) if comparison.metrics else None
        self._ranks: dict[tuple[str, int], pd.DataFrame] = {}  # by label and seed
        paths = []
        for row in comparison.rows:
            for seed, run in sorted(row.runs.items()):
                if run.ranks is not None:
                    self._ranks[row.label, seed] = run.ranks
                    paths.append(run.path)
        _refuse_different_targets(paths, list(self._ranks.values()))
        self.rows = [row for row in comparison.rows if self._seeds(row)]

    def _seeds(self, row: RowResult) -> _Seeds:
        return tuple(seed for label, seed in self._ranks if label == row.label)

    def _reference_first(self, rows: list[RowResult]) -> list[RowResult]:
        return sorted(rows, key=lambda row: row is not self.reference)

    @property
    def row_indices(self) -> dict[str, int]:
        """Return each row's number by label, which is that of its colour; the reference has 0."""
        ordered = self._reference_first(self.comparison.rows)
        return {row.label: index for index, row in enumerate(ordered)}

    @property
    def close_competitors(self) -> list[RowResult]:
        """The reference's strongest competitors by validation, of those that have ranks.

        A row with less than half of the first one's score is left out: its distance would set a
        scale on which the others cannot be told from zero.
        """
        if self.reference is None or self.reference not in self.rows:
            return []
        ranked = [r for r in competitors(self.comparison, self.reference) if r in self.rows]
        scores = [validation(self.comparison, row, None) for row in ranked]
        means = [found.mean for found in scores if found is not None]  # competitors have one
        close = [r for r, mean in zip(ranked, means, strict=True) if mean >= _CLOSE * means[0]]
        return close[:_MOST_COMPARED]

    @cached_property
    def _targets(self) -> pd.DataFrame:
        return next(iter(self._ranks.values()))

    def values(self, label: str, seeds: _Seeds, metric: str) -> np.ndarray:
        """Return the metric of each test target, averaged over some seeds, float64 [targets]."""
        total = np.zeros(len(self._targets))
        for seed in seeds:
            total += target_values(self._ranks[label, seed], metric)
        return total / len(seeds)

    def where(self, domain: str | None) -> np.ndarray:
        """Return which targets belong to a domain, bool [targets]; all for None."""
        if domain is None:
            return np.ones(len(self._targets), dtype=bool)
        return (self._targets["domain"] == domain).to_numpy()

    def effects(
        self, pairs: list[tuple[RowResult, RowResult]], metrics: list[str], targets: np.ndarray
    ) -> dict[tuple[str, str, str], tuple[_Seeds, bootstrap.Effect]]:
        """Compare pairs of rows on some targets.

        Parameters
        ----------
        pairs : list of tuple
            Pairs without a common seed are left out.
        metrics : list of str
            Each is compared, if it is among `metrics`.
        targets : numpy.ndarray
            bool [targets].

        Returns
        -------
        dict
            Common seeds and effect by labels and metric.
        """
        metrics = [name for name in metrics if name in self.metrics]
        comparable = self._comparable(pairs)
        sample = self._sample(_columns(comparable, metrics), targets)
        return _effects(comparable, metrics, sample) if sample else {}

    def _comparable(self, pairs: Iterable[tuple[RowResult, RowResult]]) -> list[_Pair]:
        """Return the labels of pairs of rows with the seeds that both have, if there are any."""
        common = (
            (a.label, b.label, tuple(s for s in self._seeds(a) if s in self._seeds(b)))
            for a, b in pairs
        )
        return [pair for pair in common if pair[2]]

    def _sample(self, columns: Sequence[_Column], targets: np.ndarray) -> "_Sample | None":
        """Resample the users of some targets, None when there is nothing to resample."""
        if not columns or not targets.any():
            return None
        users = pd.factorize(self._targets["user_id"].to_numpy()[targets])[0]
        weights = target_weights(self._targets[targets])  # of folds: each counts the same
        counts = np.bincount(users, weights=weights)
        scale = 1.0 if weights is None else weights
        sums = {
            column: np.bincount(users, weights=self.values(*column)[targets] * scale)
            for column in dict.fromkeys(columns)
        }
        draws = bootstrap.bootstrap_means(np.stack(list(sums.values()), axis=1), counts, _SEED)
        return _Sample(sums, counts, dict(zip(sums, draws.T, strict=True)))

    @cached_property
    def _pairs(self) -> list[_Pair]:
        """Every pair of rows, the reference first."""
        return self._comparable(combinations(self._reference_first(self.rows), 2))

    @cached_property
    def _scopes(self) -> dict[str | None, "_Sample | None"]:
        """One sample per scope, for tests and intervals alike."""
        columns = _columns(self._pairs, self.metrics)
        columns += [(row.label, self._seeds(row), m) for row in self.rows for m in self.metrics]
        return {
            domain: self._sample(columns, self.where(domain)) if columns else None
            for domain in self.comparison.scopes
        }

    def intervals(self, metric: str, domain: str | None) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval over users of each row's mean over its own seeds.

        None of a metric that has no values per user.
        """
        sample = self._scopes[domain]
        if sample is None or metric not in self.metrics:
            return {}
        columns = {row.label: (row.label, self._seeds(row), metric) for row in self.rows}
        return {label: bootstrap.interval(sample.draws[key]) for label, key in columns.items()}

    @cached_property
    def tests(self) -> list[PairTest]:
        """Every pair of rows, metric and domain; the reference's pairs come first."""
        tests: list[PairTest] = []
        for domain, sample in self._scopes.items():
            effects = _effects(self._pairs, self.metrics, sample) if sample else {}
            for (first, second, metric), (seeds, effect) in effects.items():
                is_reference = self.reference is not None and first == self.reference.label
                family = "reference" if is_reference else "all pairs"
                tests.append(PairTest(first, second, domain, metric, seeds, effect, family, None))
        return _corrected(tests)

    def against_reference(self, metric: str) -> list[PairTest]:
        """Return the tests of the reference row on one metric."""
        return [t for t in self.tests if t.family == "reference" and t.metric == metric]


@dataclass(frozen=True)
class _Sample:
    """Columns summed by user, the users' counts of targets, and the columns' resampled means.

    With folds sums and counts are weighted; see `target_weights`.
    """

    sums: dict[_Column, np.ndarray]
    counts: np.ndarray
    draws: dict[_Column, np.ndarray]


def _refuse_different_targets(paths: list[Path], ranks: list[pd.DataFrame]) -> None:
    for path, others in zip(paths[1:], ranks[1:], strict=True):
        of_folds = [column for column in ("fold",) if column in ranks[0]]
        for column in ("user_id", "item_id", "domain", *of_folds):
            if not np.array_equal(ranks[0][column], others[column]):
                raise UserError(
                    f"test_ranks.csv: {paths[0]} and {path} differ in {column}; "
                    "expected the same targets in the same order"
                )


def _columns(pairs: list[_Pair], metrics: list[str]) -> list[_Column]:
    """Return what the pairs need: each row's metrics over the seeds of each of its pairs."""
    return [
        (label, seeds, metric)
        for first, second, seeds in pairs
        for label in (first, second)
        for metric in metrics
    ]


def _effects(
    pairs: list[_Pair], metrics: list[str], sample: _Sample
) -> dict[tuple[str, str, str], tuple[_Seeds, bootstrap.Effect]]:
    effects = {}
    sums, draws = sample.sums, sample.draws
    for first, second, seeds in pairs:
        for metric in metrics:
            one, other = (first, seeds, metric), (second, seeds, metric)
            effect = bootstrap.effect(
                sums[one], sums[other], sample.counts, draws[one], draws[other]
            )
            effects[first, second, metric] = (seeds, effect)
    return effects


def _corrected(tests: list[PairTest]) -> list[PairTest]:
    """Fill in `p_holm`, per metric: within the reference's tests, and within all of them."""
    adjusted: dict[int, float | None] = {}
    for metric in dict.fromkeys(test.metric for test in tests):
        same = [k for k, test in enumerate(tests) if test.metric == metric]
        family = [k for k in same if tests[k].family == "reference"]
        for members in (same, family):  # the reference's tests are corrected as their own family
            p_values = bootstrap.holm([tests[k].effect.p for k in members])
            adjusted.update(zip(members, p_values, strict=True))
    ordered = sorted(range(len(tests)), key=lambda k: tests[k].family != "reference")
    return [replace(tests[k], p_holm=adjusted[k]) for k in ordered]
