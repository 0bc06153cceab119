"""Rank of each target among its candidates, for any RecBole model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_edt.errors import UserError
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.report import metric_values
from recbole_edt.evaluation.targets import Targets
from recbole_edt.recbole_bridge import Interaction

_MOST_SCORES = 1 << 27  # 512 MiB in float32
_Pairs = tuple[Tensor, Tensor]
"""Row in the batch and item id of each interaction of the batch's histories."""


@torch.no_grad()
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
        Anything with ``full_sort_predict`` or ``predict``.
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
    rank = _Ranker(targets, scope, sampled, depth)
    ranks = np.zeros(len(targets), dtype=np.int64)
    for at, scores in _score_batches(model, targets):
        if expert is not None:
            scores = scores + expert.weighted(expert.scores(targets, at))
        ranks[at] = rank(at, scores)
    return targets.merge(ranks)


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
    for at, scores in _score_batches(model, targets):
        added = expert.scores(targets, at)
        for row, weight in enumerate(grid):
            ranks[row, at] = rank(at, torch.add(scores, added, alpha=weight))
    values = metric_values(targets.merge(ranks), metric)
    for k in range(len(expert.weights)):
        of_domain = values if scope == "all" else values[:, targets.domains == k]
        if of_domain.shape[1]:
            expert.weights[k] = float(grid[int(of_domain.mean(1).argmax())])
    return expert.weights.tolist()


class _Ranker:
    """Ranks of a batch from its scores; see `rank_targets`."""

    def __init__(self, targets: Targets, scope: str, sampled: int | None, depth: int | None = None):
        config = targets.part.config
        self.targets, self.scope = targets, scope
        self.depth = depth or max(*config["topk"], int(config["valid_metric"].split("@")[1]))
        self.item_domain = targets.part.item_domain.to(config["device"])
        self.drawn = None
        if sampled is not None:
            self.drawn = torch.from_numpy(targets.sampled_candidates(sampled, scope)[0])

    def __call__(self, at: np.ndarray, scores: Tensor) -> np.ndarray:
        targets = self.targets
        target = torch.from_numpy(targets.items[at]).to(scores.device)
        if self.drawn is not None:
            others = scores.gather(1, self.drawn[at].to(scores.device))
            return 1 + (others >= scores.gather(1, target[:, None])).sum(1).cpu().numpy()
        index, item = targets.history(at)
        seen = (index.to(scores.device), item.to(scores.device))
        if self.scope == "all":
            keeps_history = targets.part.is_sequential or bool(targets.part.config["repeatable"])
            return _as_recbole(scores, target, seen, keeps_history, self.depth)
        same_domain = self.item_domain == self.item_domain[target][:, None]
        return _against_target(scores, target, same_domain, seen)


def _score_batches(model: Any, targets: Targets) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield which targets and the scores of all items for them, [B, item_num]."""
    model.eval()
    most = _MOST_SCORES // targets.part.item_num
    size = max(min(targets.part.config["eval_batch_size"], most), 1)
    for at in targets.batches(size):
        scores = score_targets(model, targets, at)
        _refuse_nan(scores, targets, at)
        yield at, scores


def _against_target(scores: Tensor, target: Tensor, allowed: Tensor, seen: _Pairs) -> np.ndarray:
    """Rank by counting the allowed, unseen items that score at least as much as the target.

    Examples
    --------
    The target (item 2) has 0.5; item 1 ties, item 3 is above it but was seen:

    >>> scores, allowed = torch.tensor([[0.0, 0.5, 0.5, 0.9]]), torch.ones(1, 4, dtype=torch.bool)
    >>> seen = torch.tensor([0]), torch.tensor([3])
    >>> _against_target(scores, torch.tensor([2]), allowed, seen).tolist()
    [2]
    """
    row = torch.arange(len(target), device=scores.device)
    better = (scores >= scores[row, target][:, None]) & allowed
    better[seen] = False
    better[row, target] = False
    return 1 + better.sum(1).cpu().numpy()


def _as_recbole(
    scores: Tensor, target: Tensor, seen: _Pairs, keeps_history: bool, depth: int
) -> np.ndarray:
    if not keeps_history:
        of_target = scores.gather(1, target[:, None])
        scores[seen] = -torch.inf
        scores.scatter_(1, target[:, None], of_target)
    scores[:, 0] = -torch.inf
    top = scores.topk(min(depth, scores.shape[1]), dim=1).indices == target[:, None]
    rank = torch.where(top.any(1), top.int().argmax(1) + 1, scores.shape[1])
    return rank.cpu().numpy()


def score_targets(model: Any, targets: Targets, at: np.ndarray) -> Tensor:
    """Score all items for some targets, float32 [len(at), item_num].

    Parameters
    ----------
    model : RecBole model
        As in `rank_targets`; it is given the users and their histories.
    targets : Targets
        Of the evaluated part.
    at : numpy.ndarray
        Which of them, int [B].
    """
    part = targets.part
    batch = Interaction({part.uid_field: torch.from_numpy(targets.users[at])})
    if part.is_sequential:
        batch.update(part.scored_histories(targets.users[at], targets.rows[at]))
    batch = part.join(batch).to(part.config["device"])
    try:
        scores = model.full_sort_predict(batch)
    except NotImplementedError:
        scores = _score_by_pairs(model, targets, batch)
    return scores.view(len(at), part.item_num)


def _score_by_pairs(model: Any, targets: Targets, batch: Interaction) -> Tensor:
    """Score every user-item pair through ``predict``, for models without a full ranking."""
    part = targets.part
    items = part.get_item_feature().to(part.config["device"])
    scores = []
    for row in range(len(batch)):
        pairs = batch[row : row + 1].repeat_interleave(part.item_num)
        pairs.update(items)
        scores.append(model.predict(pairs).reshape(-1))
    return torch.stack(scores)


def _refuse_nan(scores: Tensor, targets: Targets, at: np.ndarray) -> None:
    broken = torch.isnan(scores).any(1)
    if broken.any():
        user = targets.users[at[int(broken.int().argmax())]]
        token = targets.part.field2id_token[targets.part.uid_field][user]
        raise UserError(f"model: scores of user {token!r} are not numbers; training has diverged")
