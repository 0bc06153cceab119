"""Scores of all items for a user's next interaction, and the best items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError
from recbole_edt.evaluation.scoring import score_targets
from recbole_edt.evaluation.targets import Targets
from recbole_edt.runs import LoadedRun

_MOST_SCORES = 1 << 26  # 256 MiB in float32


@dataclass(frozen=True)
class TopItems:
    """The best items of some users, one entry per recommendation.

    Attributes
    ----------
    user_index : numpy.ndarray
        int64 [n], index into the users that were scored, not decreasing.
    items : numpy.ndarray
        int64 [n], item numbers of the dataset, best first within a user.
    ranks : numpy.ndarray
        int64 [n], from 1.
    scores : numpy.ndarray
        float32 [n].
    """

    user_index: np.ndarray
    items: np.ndarray
    ranks: np.ndarray
    scores: np.ndarray


def history_rows(dataset: CrossDomainDataset, user: int) -> np.ndarray:
    """Return the flat rows of a user's interactions, int64, oldest first."""
    return np.arange(dataset.user_starts[user], dataset.user_starts[user + 1])


class _NextTargets(Targets):
    """The interaction after all interactions of some users: no row of the data holds it yet."""

    def __init__(self, dataset: CrossDomainDataset, users: np.ndarray):
        self.part, self.name = dataset, "next"
        self.users, self.rows = users, dataset.user_starts[users + 1]


@torch.no_grad()
def next_scores(run: LoadedRun, users: np.ndarray) -> Tensor:
    """Score all items after the users' complete histories, which are masked.

    Held-out interactions belong to the history: the question is what comes after them.

    Parameters
    ----------
    run : LoadedRun
        Model and dataset.
    users : numpy.ndarray
        int64 [B], user numbers of the dataset.

    Returns
    -------
    torch.Tensor
        float32 [B, item_num] on the CPU; -inf for the padding item and items of the history.

    Raises
    ------
    UserError
        When a score is not a number.
    """
    targets, at = _NextTargets(run.dataset, users), np.arange(len(users))
    scores = score_targets(run.model, targets, at)
    if run.expert is not None:
        scores = scores + run.expert.weighted(run.expert.scores(targets, at))
    scores = scores.float().cpu()
    if torch.isnan(scores).any():
        raise UserError(f"run: {run.folder.path}: scores are not numbers; training has diverged")
    if not _shows_repeats(run):
        scores[targets.history(at)] = -torch.inf
    scores[:, 0] = -torch.inf
    return scores


def _shows_repeats(run: LoadedRun) -> bool:
    """Whether a general model's evaluation ranked items of the history (see `rank_targets`)."""
    config = run.config
    repeatable = config["candidates"] == "all" and bool(config["repeatable"])
    return repeatable and not run.dataset.is_sequential


def user_batches(run: LoadedRun, users: np.ndarray) -> Iterator[np.ndarray]:
    """Yield users in batches whose scores fit into memory."""
    size = max(min(run.config["eval_batch_size"], _MOST_SCORES // run.dataset.item_num), 1)
    for start in range(0, len(users), size):
        yield users[start : start + size]


def best_items(scores: Tensor, k: int, allowed: Tensor | None = None) -> TopItems:
    """Return the `k` best items of each row of `next_scores`; fewer where fewer are left.

    Parameters
    ----------
    scores : torch.Tensor
        [B, item_num].
    k : int
        Items per user.
    allowed : torch.Tensor, optional
        bool [item_num], such as the items of one domain; all by default.
    """
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    top = scores.topk(min(k, scores.shape[1]), dim=1)
    kept = torch.isfinite(top.values).numpy()
    user_index, column = np.nonzero(kept)
    return TopItems(user_index, top.indices.numpy()[kept], column + 1, top.values.numpy()[kept])


def rank_of(scores: Tensor, item: int, allowed: Tensor) -> tuple[int, int]:
    """Return the rank of one item in one row of scores, and the number of candidates."""
    candidates = scores[allowed & torch.isfinite(scores)]
    return 1 + int((candidates > scores[item]).sum()), len(candidates)
