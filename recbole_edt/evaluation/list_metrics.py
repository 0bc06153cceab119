"""Metrics beyond accuracy: what the top-k lists of all targets hold (docs/metrics.md).

Lists are int32 [n, length], best first, 0 beyond the last item of a short one. Values of RecBole's
metrics are RecBole's; where a list is short, what it holds is counted, not its gaps.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from recbole_edt.config.keys.evaluation import (
    LIST_METRICS,
    OF_ALL_LISTS,
    SMALLER_IS_BETTER,
    is_among,
)
from recbole_edt.evaluation.targets import Targets

_SMOOTHING = 0.01  # Steck's alpha: keeps the divergence finite
_NUMBERS = 1 << 24  # of vectors gathered at a time: 128 MiB in float64


def is_list_metric(name: str) -> bool:
    """Return whether a metric such as ``novelty@10`` is one of the lists."""
    return is_among(name, LIST_METRICS)


def is_smaller_better(name: str) -> bool:
    """Return whether a smaller value of a metric such as ``giniindex@10`` is a better one."""
    return is_among(name, SMALLER_IS_BETTER)


def has_value_per_target(name: str) -> bool:
    """Return whether each target has a value of its own of a metric such as ``ndcg@10``."""
    return not is_among(name, OF_ALL_LISTS)


def reads_vectors(metrics: Iterable[str]) -> bool:
    """Return whether some of the metrics, as the configuration has them, read item vectors."""
    return any(is_among(metric, ("IntraListDiversity",)) for metric in metrics)


def list_length(names: Sequence[str]) -> int:
    """Return how many items of each list some metrics read, 0 for none."""
    return max((int(name.split("@")[1]) for name in names if is_list_metric(name)), default=0)


# ------------------------------------------------------------------ a value per list, float64 [n]


def _mean(values: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Return the mean of each list's items of values per item [item_num]."""
    held = lists > 0
    total: np.ndarray = (values[lists] * held).sum(1)
    return total / np.maximum(held.sum(1), 1)


def _intra_list_diversity(lists: np.ndarray, targets: Targets) -> np.ndarray:
    """1 - the mean cosine of all pairs of a list, from the length of the sum of its vectors."""
    unit, values = targets.item_facts.unit_vectors, np.empty(len(lists))
    count = (lists > 0).sum(1)
    pairs = count * (count - 1) / 2
    size = max(_NUMBERS // max(lists.shape[1] * unit.shape[1], 1), 1)
    for start in range(0, len(lists), size):
        some = slice(start, start + size)
        vectors = unit[lists[some]].astype(np.float64)  # the padding item's is zero
        alone = np.square(vectors).sum((1, 2))
        cosines = (np.square(vectors.sum(1)).sum(1) - alone) / 2
        values[some] = 1 - cosines / np.maximum(pairs[some], 1)
    return np.where(pairs > 0, values, 0.0)


def _calibration(lists: np.ndarray, targets: Targets) -> np.ndarray:
    """KL(p || q'), p the history's shares of the domains, q' the list's, smoothed by p."""
    part = targets.part
    counts = part.history_counts(targets.users, targets.rows).astype(np.float64)
    counts[counts.sum(1) == 0] = targets.item_facts.domain_shares
    history = counts / counts.sum(1, keepdims=True)
    held, domains = lists > 0, len(part.domains)
    cells = np.arange(len(lists))[:, None] * domains + part.item_domain.numpy()[lists]
    shown = np.bincount(cells[held], minlength=len(lists) * domains).reshape(-1, domains)
    shares = shown / np.maximum(held.sum(1, keepdims=True), 1)
    smoothed = (1 - _SMOOTHING) * shares + _SMOOTHING * history
    ratio = np.where(history > 0, history, 1.0) / np.where(history > 0, smoothed, 1.0)
    divergence: np.ndarray = (history * np.log(ratio)).sum(1)
    return divergence


_PER_LIST: Mapping[str, Callable[[np.ndarray, Targets], np.ndarray]] = {
    "averagepopularity": lambda lists, targets: _mean(targets.item_facts.popularity, lists),
    "tailpercentage": lambda lists, targets: _mean(targets.item_facts.in_tail, lists),
    "novelty": lambda lists, targets: _mean(targets.item_facts.self_information, lists),
    "intralistdiversity": _intra_list_diversity,
    "calibration": _calibration,
}


# -------------------------------------------------------------------- one value of all lists


def _gini_index(counts: np.ndarray, items: int) -> float:
    index = np.arange(items - len(counts) + 1, items + 1)
    return float(((2 * index - items - 1) * counts).sum() / counts.sum() / items)


def _shannon_entropy(counts: np.ndarray, items: int) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum() / len(counts))


_OF_ALL_LISTS: Mapping[str, Callable[[np.ndarray, int], float]] = {
    "itemcoverage": lambda counts, items: len(counts) / items,
    "giniindex": _gini_index,
    "shannonentropy": _shannon_entropy,
}


def value_of_all_lists(name: str, lists: np.ndarray, items: int) -> float:
    """Return one metric that some lists have together.

    Parameters
    ----------
    name : str
        Such as ``itemcoverage@10``.
    lists : numpy.ndarray
        Int [n, length], n above 0.
    items : int
        Size of the catalogue; RecBole counts the padding item too.

    Examples
    --------
    Two lists hold three of four items:

    >>> value_of_all_lists("itemcoverage@2", np.array([[1, 2], [1, 3]]), 4)
    0.75
    """
    metric, k = name.split("@")
    top = lists[:, : int(k)]
    counts = np.bincount(top[top > 0])
    return _OF_ALL_LISTS[metric](np.sort(counts[counts > 0]), items)


class ListFigures:
    """The metrics of the lists of some targets.

    Parameters
    ----------
    lists : numpy.ndarray
        List of each target, int [n, length].
    targets : Targets
        The targets, in the same order.
    names : sequence of str
        Metrics such as ``novelty@10``; those of ranks are left out.
    scope : str
        ``target_domain`` or ``all``: what the lists were chosen from.

    Attributes
    ----------
    per_target : dict
        Float64 [n] by name, of the metrics that each list has for itself.

    Raises
    ------
    UserError
        For ``intralistdiversity`` when the dataset has no item vectors.
    """

    def __init__(self, lists: np.ndarray, targets: Targets, names: Sequence[str], scope: str):
        self._lists, self._part, self._scope = lists, targets.part, scope
        self.per_target: dict[str, np.ndarray] = {}
        for name in names:
            metric, k = name.split("@")
            if metric in _PER_LIST:
                self.per_target[name] = _PER_LIST[metric](lists[:, : int(k)], targets)

    def value(self, name: str, chosen: np.ndarray, domain: int | None = None) -> float:
        """Return a metric of some targets, 0 of none.

        Parameters
        ----------
        name : str
            One of the names.
        chosen : numpy.ndarray
            Which targets, bool [n].
        domain : int, optional
            The domain of all of them; under ``target_domain`` its items are then the catalogue.
        """
        if not chosen.any():
            return 0.0
        if name in self.per_target:
            return float(self.per_target[name][chosen].mean())
        return value_of_all_lists(name, self._lists[chosen], self._catalogue(domain))

    def _catalogue(self, domain: int | None) -> int:
        """Return the number of items, the padding item among them as RecBole counts them."""
        if domain is None or self._scope == "all":
            return int(self._part.item_num)
        return 1 + int((self._part.item_domain == domain).sum())
