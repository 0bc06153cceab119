"""Scores of all items for a user's next interaction, and the best items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.indexing import joined_ranges
from recbole_edt.errors import UserError
from recbole_edt.evaluation.repeats import recommends_history
from recbole_edt.evaluation.scoring import score_domain, score_targets
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


def history_rows(dataset: CrossDomainDataset, users: np.ndarray) -> np.ndarray:
    """Return the flat rows of some users one after another, int [m], of each the oldest first."""
    starts, ends = dataset.user_starts[users], dataset.user_starts[users + 1]
    return joined_ranges(starts, ends - starts)


class NextTargets(Targets):
    """The interaction after all that some users have: no row of the data holds it yet.

    Parameters
    ----------
    part : CrossDomainDataset
        The users' histories, complete.
    users : numpy.ndarray
        int64 [n], users of `part`.
    numbers : numpy.ndarray, optional
        int64 [n], the users as the model numbers them, 0 for one that it does not know; the same
        by default.
    """

    def __init__(
        self, part: CrossDomainDataset, users: np.ndarray, numbers: np.ndarray | None = None
    ):
        self.part, self.name = part, "next"
        self.users, self.rows = users, part.user_starts[users + 1]
        self._numbers = users if numbers is None else numbers

    def user_numbers(self, at: np.ndarray) -> np.ndarray | None:
        """Return the users as the model numbers them; None when it does not know one of them."""
        numbers = self._numbers[at]
        return numbers if numbers.all() else None


@torch.no_grad()
def score_next(
    run: LoadedRun, targets: NextTargets, at: np.ndarray, domain: int | None = None
) -> Tensor:
    """Score items after some histories, as evaluation does; what the run adds is added.

    Parameters
    ----------
    run : LoadedRun
        Model and content expert.
    targets : NextTargets
        The histories.
    at : numpy.ndarray
        Which of them, int [B].
    domain : int, optional
        Score the items of this domain, in rising order of their numbers; all items by default.

    Returns
    -------
    torch.Tensor
        float32 [B, n] on the model's device; nothing is masked.

    Raises
    ------
    UserError
        When a score is not a number, or the model reads what the histories do not have.
    """
    try:
        if domain is None:
            scores = score_targets(run.model, targets, at)
        else:
            scores = score_domain(run.model, targets, at, domain)
    except KeyError as error:
        raise _lacking(run, str(error.args[0])) from error
    if run.expert is not None:
        scores = scores + run.expert.weighted(run.expert.scores(targets, at, domain), domain)
    scores = scores.float()
    if torch.isnan(scores).any():
        raise UserError(f"run: {run.folder.path}: scores are not numbers; training has diverged")
    return scores


def _lacking(run: LoadedRun, field: str) -> Exception:
    """Return the refusal of a model that reads a field which given histories lack."""
    dataset, name = run.dataset, run.record.model
    if field == dataset.uid_field:
        return UserError(
            f"run: {run.folder.path}: {name} has a vector for each user of training; expected "
            f"users of {dataset.dataset_name}.inter"
        )
    list_fields = {dataset.list_field(name): name for name in dataset.flat.columns
                   if name != dataset.uid_field}  # fmt: skip
    if field not in list_fields:
        return KeyError(field)
    return UserError(
        f"run: {run.folder.path}: {name} reads {list_fields[field]!r} of each interaction, which "
        "the histories do not have"
    )


def next_scores(run: LoadedRun, users: np.ndarray, repeats: bool | None = None) -> Tensor:
    """Score all items after the users' complete histories, which are masked.

    Held-out interactions belong to the history: the question is what comes after them.

    Parameters
    ----------
    run : LoadedRun
        Model and dataset.
    users : numpy.ndarray
        int64 [B], user numbers of the dataset.
    repeats : bool, optional
        Whether items of the history may be recommended; by default the key ``repeatable`` decides
        (see `recbole_edt.evaluation.repeats`).

    Returns
    -------
    torch.Tensor
        float32 [B, item_num] on the CPU; -inf for the padding item and, without `repeats`, for
        items of the history.

    Raises
    ------
    UserError
        When a score is not a number.
    """
    targets, at = NextTargets(run.dataset, users), np.arange(len(users))
    scores = score_next(run, targets, at).cpu()
    if not (recommends_history(run.dataset) if repeats is None else repeats):
        scores[targets.history(at)] = -torch.inf
    scores[:, 0] = -torch.inf
    return scores


def user_batches(run: LoadedRun, users: np.ndarray) -> Iterator[np.ndarray]:
    """Yield users in batches whose scores fit into memory."""
    size = batch_size(run)
    for start in range(0, len(users), size):
        yield users[start : start + size]


def batch_size(run: LoadedRun) -> int:
    """Return how many users are scored at a time so that their scores fit into memory."""
    return max(min(run.config["eval_batch_size"], _MOST_SCORES // run.dataset.item_num), 1)


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
    values, indices = top.values.cpu(), top.indices.cpu()
    kept = torch.isfinite(values).numpy()
    user_index, column = np.nonzero(kept)
    return TopItems(user_index, indices.numpy()[kept], column + 1, values.numpy()[kept])


def rank_of(scores: Tensor, item: int, allowed: Tensor) -> tuple[int, int]:
    """Return the rank of one item in one row of scores, and the number of candidates."""
    candidates = scores[allowed & torch.isfinite(scores)]
    return 1 + int((candidates > scores[item]).sum()), len(candidates)
