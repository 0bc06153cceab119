"""Rank of each target among its candidates, for any RecBole model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.repeats import ranks_history
from recbole_edt.evaluation.report import metric_values
from recbole_edt.evaluation.scoring import ScoreBlock, score_blocks
from recbole_edt.evaluation.targets import Targets
from recbole_edt.evaluation.top_lists import items_of_columns, with_target
from recbole_edt.model.candidate_sets import rows_in_domains

_Pairs = tuple[Tensor, Tensor]
"""Row in the batch and item id, or column, of interactions of the batch's histories."""


class Ranking(NamedTuple):
    """Ranks of targets, and the lists that a user of the model would see.

    Attributes
    ----------
    ranks : numpy.ndarray
        Rank of each target, 1 for the best, int64 [n].
    lists : numpy.ndarray
        The best candidates of each target, best first, the target among them if its rank is at
        most `length`; int32 [n, length], 0 beyond the last candidate.
    """

    ranks: np.ndarray
    lists: np.ndarray


def rank_targets(
    model: Any,
    targets: Targets,
    scope: str,
    sampled: int | None = None,
    expert: ContentExpert | None = None,
    depth: int | None = None,
) -> np.ndarray:
    """Return the rank of each target, 1 for the best.

    ``target_domain`` ranks among all items of the target's own domain without the user's
    history; ties count against the target. ``all`` ranks as RecBole does: among all items,
    without the history for general models unless ``repeatable``, ties as ``torch.topk`` breaks
    them, and ranks beyond the largest cut-off are reported as the number of items.

    Parameters
    ----------
    model : RecBole model
        Anything with ``full_sort_predict`` or ``predict``; under ``target_domain`` a model with
        ``domain_scores`` is asked for that.
    targets : Targets
        What to rank.
    scope : str
        ``target_domain`` or ``all``.
    sampled : int, optional
        Rank among the target and this many items of one frozen draw instead; ties count
        against the target.
    expert : ContentExpert, optional
        Adds its weighted scores.
    depth : int, optional
        Largest cut-off under ``all``; that of the configuration's ``topk`` unless given.

    Returns
    -------
    numpy.ndarray
        int64 [n], in the order of `targets`.

    Raises
    ------
    UserError
        When a score is not a number.
    """
    return rank_with_lists(model, targets, scope, sampled, expert, depth).ranks


@torch.no_grad()
def rank_with_lists(
    model: Any,
    targets: Targets,
    scope: str,
    sampled: int | None = None,
    expert: ContentExpert | None = None,
    depth: int | None = None,
    length: int = 0,
) -> Ranking:
    """Return the rank of each target and the top of its list, kept for `length` items only.

    Parameters
    ----------
    model, targets, scope, sampled, expert, depth
        As in `rank_targets`.
    length : int
        Items per list; with 0 no list is made.

    Raises
    ------
    UserError
        When a score is not a number.
    """
    rank = _Ranker(targets, scope, sampled, depth, length)
    ranks = np.zeros(len(targets), dtype=np.int64)
    lists = np.zeros((len(targets), length), dtype=np.int32)
    for block in score_blocks(model, targets, by_domain=scope == "target_domain"):
        at, scores, domain = block
        if expert is not None:
            added = expert.weighted(expert.scores(targets, at, domain), domain)
            block = block._replace(scores=scores + added)
        ranks[at], lists[at] = rank(block)
    return Ranking(targets.merge(ranks), targets.merge(lists) if length else lists)


@torch.no_grad()
def choose_weights(
    model: Any,
    targets: Targets,
    scope: str,
    expert: ContentExpert,
    grid: Sequence[float],
    metric: str,
) -> list[float]:
    """Set the expert's weights to the best of a grid, per domain, on validation.

    Of equally good weights the first one is chosen.

    Parameters
    ----------
    model, targets, scope
        As in `rank_targets`.
    expert : ContentExpert
        Its weights are set.
    grid : sequence of float
        Weights to try, in the order of preference.
    metric : str
        What decides, such as ``ndcg@10``.

    Returns
    -------
    list of float
        The weight of each domain.
    """
    rank = _Ranker(targets, scope, None)
    ranks = np.zeros((len(grid), len(targets)), dtype=np.int64)
    for block in score_blocks(model, targets, by_domain=scope == "target_domain"):
        at, scores, domain = block
        added = expert.scores(targets, at, domain)
        for row, weight in enumerate(grid):
            both = torch.add(scores, added, alpha=weight)
            ranks[row, at] = rank(block._replace(scores=both)).ranks
    values = metric_values(targets.merge(ranks), metric)
    for k in range(len(expert.weights)):
        of_domain = values if scope == "all" else values[:, targets.domains == k]
        if of_domain.shape[1]:
            expert.weights[k] = float(grid[int(of_domain.mean(1).argmax())])
    return expert.weights.tolist()


class _Ranker:
    """Ranks of the targets of a block of scores, and their lists; see `rank_with_lists`."""

    def __init__(
        self,
        targets: Targets,
        scope: str,
        sampled: int | None,
        depth: int | None = None,
        length: int = 0,
    ):
        config, item_domain = targets.part.config, targets.part.item_domain
        self.targets, self.scope, self.length = targets, scope, length
        depth = depth or max(*config["topk"], int(config["valid_metric"].split("@")[1]))
        self.depth = max(depth, length)
        self.item_domain = item_domain.to(config["device"])
        self.column = rows_in_domains(item_domain, len(targets.part.domains)).numpy()
        self.drawn = None
        if sampled is not None:
            self.drawn = targets.sampled_candidates(sampled, scope)[0]

    def __call__(self, block: ScoreBlock) -> Ranking:
        at, scores, targets = block.at, block.scores, self.targets
        target = self._columns(targets.items[at], block)
        if self.drawn is not None:
            drawn = self._columns(self.drawn[at], block)
            others = scores.gather(1, drawn)
            better = others >= scores.gather(1, target[:, None])
            ranks = 1 + better.sum(1)
            return self._ranking(ranks, others, None, drawn, target, block)
        if self.scope == "all":
            rows, items = targets.history(at)
            seen = rows.to(scores.device), items.to(scores.device)
            keeps_history = ranks_history(targets.part, self.scope)
            ranks, lists = _as_recbole(scores, target, seen, keeps_history, self.depth)
            return self._padded(ranks, lists)
        row, item = targets.seen_candidates(at)
        seen = torch.from_numpy(row).to(scores.device), self._columns(item, block)
        allowed = None
        if block.domain is None:
            domains = torch.from_numpy(targets.domains[at]).to(scores.device)
            allowed = self.item_domain == domains[:, None]
        ranks = _against_target(scores, target, allowed, seen)
        excluded = None
        if self.length:
            excluded = torch.zeros_like(scores, dtype=torch.bool) if allowed is None else ~allowed
            excluded[seen] = True
            excluded.scatter_(1, target[:, None], True)
        return self._ranking(ranks, scores, excluded, None, target, block)

    def _ranking(
        self,
        ranks: Tensor,
        others: Tensor,
        excluded: Tensor | None,
        columns: Tensor | None,
        target: Tensor,
        block: ScoreBlock,
    ) -> Ranking:
        """Add the lists to some ranks: the best of the other candidates, and the target.

        `columns` are those of `others` in the block's scores, all of them in their order for None.
        """
        if not self.length:
            return self._padded(ranks, ranks.new_empty(len(ranks), 0))
        lists = with_target(others, excluded, columns, target, ranks, self.length)
        in_domain = None if block.domain is None else self.item_domain == block.domain
        return self._padded(ranks, items_of_columns(lists, in_domain))

    def _padded(self, ranks: Tensor, lists: Tensor) -> Ranking:
        padded = lists.new_zeros(len(lists), self.length)
        width = min(self.length, lists.shape[1])
        padded[:, :width] = lists[:, :width]
        return Ranking(ranks.cpu().numpy(), padded.cpu().numpy())

    def _columns(self, items: np.ndarray, block: ScoreBlock) -> Tensor:
        """Return the columns of item ids in a block's scores, same shape."""
        columns = items if block.domain is None else self.column[items]
        return torch.from_numpy(columns).to(block.scores.device)


def _against_target(scores: Tensor, target: Tensor, allowed: Tensor | None, seen: _Pairs) -> Tensor:
    """Rank by counting the allowed, unseen items that score at least as much as the target.

    Parameters
    ----------
    scores : torch.Tensor
        [b, n], none of them NaN.
    target : torch.Tensor
        Column of each row's target, int64 [b].
    allowed : torch.Tensor or None
        Candidates, the target among them, bool [b, n]; None: all.
    seen : tuple of torch.Tensor
        Row and column of each candidate that is left out, int64 [m]; no pair twice, no target.

    Examples
    --------
    The target (item 2) has 0.5; item 1 ties, item 3 is above it but was seen:

    >>> scores = torch.tensor([[0.0, 0.5, 0.5, 0.9]])
    >>> seen = torch.tensor([0]), torch.tensor([3])
    >>> _against_target(scores, torch.tensor([2]), None, seen).tolist()
    [2]
    """
    threshold = scores.gather(1, target[:, None])
    better = scores >= threshold
    if allowed is not None:
        better &= allowed
    # The target is counted too, which makes it the rank. Sums of bools are slow in int64.
    rank = better.sum(1, dtype=torch.int32)
    row, column = seen
    seen_better = row[scores[row, column] >= threshold[row, 0]]
    return rank - torch.bincount(seen_better, minlength=len(rank))


def _as_recbole(
    scores: Tensor, target: Tensor, seen: _Pairs, keeps_history: bool, depth: int
) -> tuple[Tensor, Tensor]:
    """Return the targets' ranks [b] and the best items [b, depth], 0 where none is left."""
    if not keeps_history:
        of_target = scores.gather(1, target[:, None])
        scores[seen] = -torch.inf
        scores.scatter_(1, target[:, None], of_target)
    scores[:, 0] = -torch.inf
    best = scores.topk(min(depth, scores.shape[1]), dim=1)
    top = best.indices == target[:, None]
    rank = torch.where(top.any(1), top.int().argmax(1) + 1, scores.shape[1])
    return rank, best.indices.masked_fill(best.values == -torch.inf, 0)
