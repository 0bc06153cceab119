"""The best items after many histories: scored in batches, masked, cut to k."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_edt.data.indexing import ranges
from recbole_edt.evaluation.repeats import recommends_history
from recbole_edt.recommend.scoring import NextTargets, TopItems, batch_size, best_items, score_next
from recbole_edt.runs import LoadedRun

Pairs = tuple[np.ndarray, np.ndarray]
"""Index of a history and item number, int64 [m] each."""


@dataclass(frozen=True)
class Candidates:
    """Which items may be recommended.

    Attributes
    ----------
    domain : int or None
        Only items of this domain.
    repeats : bool or None
        Whether items of the history may be; None: as the run's key ``repeatable`` has it (see
        `recbole_edt.evaluation.repeats`).
    excluded : pairs
        Further items that may not be, each with the history it is excluded for.
    """

    domain: int | None = None
    repeats: bool | None = None
    excluded: Pairs = (np.empty(0, np.int64), np.empty(0, np.int64))


def top_items(
    run: LoadedRun,
    targets: NextTargets,
    k: int,
    candidates: Candidates,
    report: Callable[[int], object] = lambda count: None,
) -> TopItems:
    """Return the `k` best items after each history, in the order of `targets`.

    Parameters
    ----------
    run : LoadedRun
        What scores.
    targets : NextTargets
        The histories.
    k : int
        Items per history; fewer where fewer are left.
    candidates : Candidates
        Which items may be recommended.
    report : callable
        Is given how many histories each batch had.
    """
    masks = _Masks(run, targets, candidates)
    width = min(k, len(masks.members))
    items = np.zeros((len(targets), width), dtype=np.int64)
    values = np.full((len(targets), width), -np.inf, dtype=np.float32)
    for at in batches_by_length(run, targets):
        scores = masks(score_next(run, targets, at, candidates.domain), at)
        top = best_items(scores, width)
        items[at[top.user_index], top.ranks - 1] = masks.members[top.items]
        values[at[top.user_index], top.ranks - 1] = top.scores
        report(len(at))
    index, column = np.nonzero(values > -np.inf)
    return TopItems(index, items[index, column], column + 1, values[index, column])


def batches_by_length(run: LoadedRun, targets: NextTargets) -> Iterator[np.ndarray]:
    """Yield indices of histories, those of like length together, so that batches pad little."""
    lengths = targets.rows - targets.part.user_starts[targets.users]
    order, size = np.argsort(lengths, kind="stable"), batch_size(run)
    for start in range(0, len(order), size):
        yield order[start : start + size]


class _Masks:
    """Gives the score -inf to what may not be recommended.

    Attributes
    ----------
    members : numpy.ndarray
        Item number of each column of the scores, int64 [n].
    """

    def __init__(self, run: LoadedRun, targets: NextTargets, candidates: Candidates):
        self.targets, part = targets, targets.part
        item_domain, repeats = part.item_domain, candidates.repeats
        self.members = np.arange(len(item_domain))
        self.column = self.members
        if candidates.domain is not None:
            self.members = np.flatnonzero(item_domain.numpy() == candidates.domain)
            self.column = np.full(len(item_domain), -1)
            self.column[self.members] = np.arange(len(self.members))
        self.repeats = recommends_history(run.dataset) if repeats is None else repeats
        owner, self.excluded = candidates.excluded
        order = np.argsort(owner, kind="stable")
        self.excluded = self.excluded[order]
        self.starts = np.searchsorted(owner[order], np.arange(len(targets) + 1))

    def __call__(self, scores: Tensor, at: np.ndarray) -> Tensor:
        if self.members[0] == 0:
            scores[:, 0] = -torch.inf
        if not self.repeats:
            rows, items = (pairs.numpy() for pairs in self.targets.history(at))
            self._hide(scores, rows, items)
        starts, ends = self.starts[at], self.starts[at + 1]
        if (ends > starts).any():
            rows, index = ranges(starts, ends - starts)
            self._hide(scores, rows, self.excluded[index])
        return scores

    def _hide(self, scores: Tensor, rows: np.ndarray, items: np.ndarray) -> None:
        columns = self.column[items]
        there = columns >= 0
        pairs = (torch.from_numpy(one[there]).to(scores.device) for one in (rows, columns))
        scores[tuple(pairs)] = -torch.inf
