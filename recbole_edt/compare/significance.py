"""Tests of every pair of rows, overall and per domain."""

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from recbole_edt.compare import stats
from recbole_edt.compare.results import Comparison, Row, Run
from recbole_edt.compare.summary import reference
from recbole_edt.errors import UserError
from recbole_edt.evaluation.report import metric_values

_SEED = 2026
_Seeds = tuple[int, ...]


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
        common = {
            (a.label, b.label): tuple(s for s in self._seeds(a) if s in self._seeds(b))
            for a, b in pairs
        }
        wanted = {
            (row.label, common[a.label, b.label], metric): row
            for a, b in pairs
            for row in (a, b)
            for metric in metrics
            if common[a.label, b.label]
        }
        if not wanted or not targets.any():
            return {}
        columns, counts, draws = self._bootstrap(wanted, targets)
        found = {}
        for a, b in pairs:
            seeds = common[a.label, b.label]
            for metric in metrics if seeds else ():
                one, other = columns[a.label, seeds, metric], columns[b.label, seeds, metric]
                found[a.label, b.label, metric] = (
                    seeds,
                    stats.effect(one[0], other[0], counts, draws[:, one[1]], draws[:, other[1]]),
                )
        return found

    def _bootstrap(
        self, wanted: dict[tuple[str, _Seeds, str], Row], targets: np.ndarray
    ) -> tuple[dict[tuple[str, _Seeds, str], tuple[np.ndarray, int]], np.ndarray, np.ndarray]:
        """Return per column its sums by user and its number, the users' counts, and the draws."""
        users = pd.factorize(self._targets["user_id"].to_numpy()[targets])[0]
        counts = np.bincount(users)
        sums = {
            key: np.bincount(users, weights=self.values(row, key[1], key[2])[targets])
            for key, row in wanted.items()
        }
        draws = stats.bootstrap_means(np.stack(list(sums.values()), axis=1), counts, _SEED)
        return {key: (column, k) for k, (key, column) in enumerate(sums.items())}, counts, draws

    def intervals(self, metric: str, domain: str | None) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval over users of each row's mean over its own seeds."""
        targets = self.where(domain) if self.rows else np.zeros(0, dtype=bool)
        if not targets.any():
            return {}
        wanted = {(row.label, self._seeds(row), metric): row for row in self.rows}
        columns, _, draws = self._bootstrap(wanted, targets)
        return {key[0]: stats.interval(draws[:, k]) for key, (_, k) in columns.items()}

    @cached_property
    def tests(self) -> list[PairTest]:
        """Every pair of rows, metric and domain; the reference's pairs come first."""
        if not self.rows:
            return []
        ahead = [row for row in self.rows if row is self.reference]
        rows = ahead + [row for row in self.rows if row is not self.reference]
        pairs = list(combinations(rows, 2))
        found: list[PairTest] = []
        for domain in self.comparison.scopes:
            effects = self.effects(pairs, self.comparison.metrics, self.where(domain))
            for (first, second, metric), (seeds, effect) in effects.items():
                is_ours = self.reference is not None and first == self.reference.label
                family = "reference" if is_ours else "all pairs"
                found.append(PairTest(first, second, domain, metric, seeds, effect, family, None))
        return _corrected(found)

    def against_reference(self, metric: str) -> list[PairTest]:
        """Return the tests of the reference row on one metric."""
        return [t for t in self.tests if t.family == "reference" and t.metric == metric]


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
