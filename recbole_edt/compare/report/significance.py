"""Tests of every pair of rows, overall and per domain."""

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from recbole_edt.compare.report import stats
from recbole_edt.compare.report.summary import reference
from recbole_edt.compare.results import Comparison, Row
from recbole_edt.compare.runs import Run
from recbole_edt.errors import UserError
from recbole_edt.evaluation.report import metric_values

_SEED = 2026
_Seeds = tuple[int, ...]
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
    effect : stats.Effect
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
    effect: stats.Effect
    family: str
    p_holm: float | None


class Significance:
    """Bootstraps of a comparison's rows, made once and shared by tests and plots.

    Parameters
    ----------
    comparison : Comparison
        Runs without ranks are left out.

    Raises
    ------
    UserError
        When two runs ranked different targets.
    """

    def __init__(self, comparison: Comparison):
        self.comparison = comparison
        self.reference = reference(comparison) if comparison.metrics else None
        self.rows = [row for row in comparison.rows if self._seeds(row)]
        self._first: Run | None = None
        for row in self.rows:
            for seed in self._seeds(row):
                self._check_targets(row.runs[seed])

    @staticmethod
    def _seeds(row: Row) -> _Seeds:
        return tuple(sorted(s for s, run in row.runs.items() if run.ranks is not None))

    def _check_targets(self, run: Run) -> None:
        if self._first is None:
            self._first = run
        first, ranks = self._first.ranks, run.ranks
        assert first is not None
        assert ranks is not None
        for column in ("user_id", "item_id", "domain"):
            if len(first) != len(ranks) or not np.array_equal(first[column], ranks[column]):
                raise UserError(
                    f"test_ranks.csv: {self._first.path} and {run.path} differ in {column}; "
                    "expected the same targets in the same order"
                )

    @cached_property
    def _targets(self) -> pd.DataFrame:
        assert self._first is not None
        assert self._first.ranks is not None
        return self._first.ranks

    def values(self, row: Row, seeds: _Seeds, metric: str) -> np.ndarray:
        """Return the metric of each test target, averaged over some seeds, float64 [targets]."""
        total = np.zeros(len(self._targets))
        for seed in seeds:
            ranks = row.runs[seed].ranks
            assert ranks is not None
            total += metric_values(ranks["rank"].to_numpy(), metric)
        return total / len(seeds)

    def where(self, domain: str | None) -> np.ndarray:
        """Return which targets belong to a domain, bool [targets]; all for None."""
        if domain is None:
            return np.ones(len(self._targets), dtype=bool)
        return (self._targets["domain"] == domain).to_numpy()

    def effects(
        self, pairs: list[tuple[Row, Row]], metrics: list[str], targets: np.ndarray
    ) -> dict[tuple[str, str, str], tuple[_Seeds, stats.Effect]]:
        """Compare pairs of rows on some targets.

        Parameters
        ----------
        pairs : list of tuple
            Pairs without a common seed are left out.
        metrics : list of str
            Each is compared.
        targets : numpy.ndarray
            bool [targets].

        Returns
        -------
        dict
            Common seeds and effect by labels and metric.
        """
        common = self._common_seeds(pairs)
        sample = self._sample(self._columns(pairs, metrics), targets)
        return _effects(pairs, metrics, common, sample) if sample else {}

    def _common_seeds(self, pairs: list[tuple[Row, Row]]) -> dict[tuple[str, str], _Seeds]:
        return {
            (a.label, b.label): tuple(s for s in self._seeds(a) if s in self._seeds(b))
            for a, b in pairs
        }

    def _columns(self, pairs: list[tuple[Row, Row]], metrics: list[str]) -> dict[_Column, Row]:
        """Return what the pairs need: each row's metrics over the seeds of each of its pairs."""
        common = self._common_seeds(pairs)
        return {
            (row.label, common[a.label, b.label], metric): row
            for a, b in pairs
            for row in (a, b)
            for metric in metrics
            if common[a.label, b.label]
        }

    def _sample(self, columns: dict[_Column, Row], targets: np.ndarray) -> "_Sample | None":
        """Resample the users of some targets, None when there is nothing to resample."""
        if not columns or not targets.any():
            return None
        users = pd.factorize(self._targets["user_id"].to_numpy()[targets])[0]
        counts = np.bincount(users)
        sums = {
            key: np.bincount(users, weights=self.values(row, key[1], key[2])[targets])
            for key, row in columns.items()
        }
        draws = stats.bootstrap_means(np.stack(list(sums.values()), axis=1), counts, _SEED)
        return _Sample(sums, counts, dict(zip(sums, draws.T, strict=True)))

    @cached_property
    def _pairs(self) -> list[tuple[Row, Row]]:
        """Every pair of rows, the reference first."""
        ahead = [row for row in self.rows if row is self.reference]
        return list(combinations(ahead + [r for r in self.rows if r is not self.reference], 2))

    @cached_property
    def _scopes(self) -> dict[str | None, "_Sample | None"]:
        """One sample per scope, for tests and intervals alike."""
        metrics = self.comparison.metrics
        columns = self._columns(self._pairs, metrics)
        columns |= {(row.label, self._seeds(row), m): row for row in self.rows for m in metrics}
        return {
            domain: self._sample(columns, self.where(domain)) if columns else None
            for domain in self.comparison.scopes
        }

    def intervals(self, metric: str, domain: str | None) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval over users of each row's mean over its own seeds."""
        sample = self._scopes[domain]
        if sample is None:
            return {}
        own = {row.label: (row.label, self._seeds(row), metric) for row in self.rows}
        return {label: stats.interval(sample.draws[key]) for label, key in own.items()}

    @cached_property
    def tests(self) -> list[PairTest]:
        """Every pair of rows, metric and domain; the reference's pairs come first."""
        metrics, common = self.comparison.metrics, self._common_seeds(self._pairs)
        found: list[PairTest] = []
        for domain, sample in self._scopes.items():
            effects = _effects(self._pairs, metrics, common, sample) if sample else {}
            for (first, second, metric), (seeds, effect) in effects.items():
                is_ours = self.reference is not None and first == self.reference.label
                family = "reference" if is_ours else "all pairs"
                found.append(PairTest(first, second, domain, metric, seeds, effect, family, None))
        return _corrected(found)

    def against_reference(self, metric: str) -> list[PairTest]:
        """Return the tests of the reference row on one metric."""
        return [t for t in self.tests if t.family == "reference" and t.metric == metric]


@dataclass(frozen=True)
class _Sample:
    """Columns summed by user, the users' counts of targets, and the columns' resampled means."""

    sums: dict[_Column, np.ndarray]
    counts: np.ndarray
    draws: dict[_Column, np.ndarray]


def _effects(
    pairs: list[tuple[Row, Row]],
    metrics: list[str],
    common: dict[tuple[str, str], _Seeds],
    sample: _Sample,
) -> dict[tuple[str, str, str], tuple[_Seeds, stats.Effect]]:
    found = {}
    for a, b in pairs:
        seeds = common[a.label, b.label]
        for metric in metrics if seeds else ():
            one, other = (a.label, seeds, metric), (b.label, seeds, metric)
            sums, draws = sample.sums, sample.draws
            effect = stats.effect(sums[one], sums[other], sample.counts, draws[one], draws[other])
            found[a.label, b.label, metric] = (seeds, effect)
    return found


def _corrected(tests: list[PairTest]) -> list[PairTest]:
    """Fill in `p_holm`, per metric: within the reference's tests, and within all of them."""
    adjusted: dict[int, float | None] = {}
    for metric in dict.fromkeys(test.metric for test in tests):
        same = [k for k, test in enumerate(tests) if test.metric == metric]
        family = [k for k in same if tests[k].family == "reference"]
        for members in (same, family):  # the smaller family has the last word on its own
            p_values = stats.holm([tests[k].effect.p for k in members])
            adjusted.update(zip(members, p_values, strict=True))
    ordered = sorted(range(len(tests)), key=lambda k: tests[k].family != "reference")
    return [PairTest(**{**vars(tests[k]), "p_holm": adjusted[k]}) for k in ordered]


def tests_frame(significance: Significance) -> pd.DataFrame:
    """Return all tests as ``tests.csv`` holds them."""
    lines = []
    for test in significance.tests:
        line = {
            "first": test.first,
            "second": test.second,
            "scope": "overall" if test.domain is None else "domain",
            "domain": test.domain or "",
            "metric": test.metric,
            "seeds": " ".join(map(str, test.seeds)),
            **asdict(test.effect),
            "p_holm": test.p_holm,
            "family": test.family,
        }
        lines.append(line)
    return pd.DataFrame(lines)
