"""What a run lists for many users: before the held-out item, and after the complete history."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_edt.errors import UserError
from recbole_edt.evaluation.repeats import ranks_history
from recbole_edt.evaluation.report import read_ranks
from recbole_edt.evaluation.targets import Targets
from recbole_edt.progress import Progress, progress_of
from recbole_edt.recommend.scoring import best_items, next_scores, score_next, user_batches
from recbole_edt.runs import LoadedRun


@dataclass(frozen=True)
class RunLists:
    """Lists of one run for U users; item numbers are the dataset's, 0 where there is none.

    Attributes
    ----------
    held_out : numpy.ndarray
        int64 [U, k], the best candidates for each user's test target, in the protocol of the run.
    rank : numpy.ndarray
        int64 [U], rank of the target as the run measured it, 0 for a user without a target.
    candidates : numpy.ndarray
        int64 [U], items among which it was ranked.
    following : numpy.ndarray
        int64 [U, K, k], the best items of each domain after the complete history.
    scores : numpy.ndarray
        float32 [U, K, k], their scores.
    """

    held_out: np.ndarray
    rank: np.ndarray
    candidates: np.ndarray
    following: np.ndarray
    scores: np.ndarray


@torch.no_grad()
def lists_of(run: LoadedRun, users: np.ndarray, k: int, show_progress: bool) -> RunLists:
    """Return the lists of some users.

    Parameters
    ----------
    run : LoadedRun
        Model and dataset.
    users : numpy.ndarray
        int64 [U], user numbers of the dataset, rising.
    k : int
        Items in a list.
    show_progress : bool
        A progress bar, where the error stream is a terminal.

    Raises
    ------
    UserError
        When a score is not a number, or the run's ranks are of other targets.
    """
    domains, size = len(run.dataset.domains), len(users)
    lists = RunLists(
        np.zeros((size, k), np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64),
        np.zeros((size, domains, k), np.int64), np.zeros((size, domains, k), np.float32),
    )  # fmt: skip
    with progress_of(2 * size, run.record.model, "list", show_progress) as bar:
        _fill_held_out(run, users, k, lists, bar)
        _fill_following(run, users, k, lists, bar)
    return lists


def _fill_held_out(
    run: LoadedRun, users: np.ndarray, k: int, lists: RunLists, bar: Progress
) -> None:
    targets = Targets(run.dataset, "test")
    ranks = _measured_ranks(run, targets)
    of_page = np.flatnonzero(np.isin(targets.users, users))
    for at in user_batches(run, of_page):
        scores = score_next(run, targets, at).cpu()
        candidates = candidate_mask(run, targets, at)
        items = torch.from_numpy(targets.items[at])
        others = candidates.scatter(1, items[:, None], False)
        top = best_items(scores.masked_fill(~others, -torch.inf), k)
        row = np.searchsorted(users, targets.users[at])
        best = np.zeros((len(at), k), np.int64)
        best[top.user_index, top.ranks - 1] = top.items
        lists.held_out[row] = insert_at_rank(best, targets.items[at], ranks[at])
        lists.rank[row], lists.candidates[row] = ranks[at], candidates.sum(1).numpy()
        bar.update(len(at))
    bar.update(len(users) - len(of_page))


def _measured_ranks(run: LoadedRun, targets: Targets) -> np.ndarray:
    """Return the rank of each target as the run wrote it, int64 [n]."""
    path, dataset = run.folder.ranks_path, run.dataset
    frame = read_ranks(path)
    order = np.argsort(targets.rows)
    written = frame["user_id"].to_numpy(), frame["item_id"].to_numpy()
    now = (
        dataset.field2id_token[dataset.uid_field][targets.users[order]],
        dataset.field2id_token[dataset.iid_field][targets.items[order]],
    )
    if not all(map(np.array_equal, written, now)):
        raise UserError(f"{path}: ranks of other targets than those of the dataset's test part")
    ranks = np.empty(len(targets), np.int64)
    ranks[order] = frame["rank"]
    return ranks


def candidate_mask(run: LoadedRun, targets: Targets, at: np.ndarray) -> Tensor:
    """Mark the items among which each target is ranked in the protocol of a run.

    Parameters
    ----------
    run : LoadedRun
        Decides scope and sampling; see `recbole_edt.evaluation.ranking.rank_targets`.
    targets : Targets
        Of the test part.
    at : numpy.ndarray
        Which of them, int [b].

    Returns
    -------
    torch.Tensor
        bool [b, item_num], the target among them.
    """
    dataset, protocol = run.dataset, run.record.protocol
    items = torch.from_numpy(targets.items[at])[:, None]
    mask = torch.zeros(len(at), dataset.item_num, dtype=torch.bool)
    if protocol.sampled is not None:
        drawn = targets.sampled_candidates(protocol.sampled, protocol.candidates)[0][at]
        mask.scatter_(1, torch.from_numpy(drawn), True)
    elif protocol.candidates == "all":
        mask[:, 1:] = True
        if not ranks_history(dataset, protocol.candidates):
            mask[targets.history(at)] = False
    else:
        mask = dataset.item_domain == torch.from_numpy(targets.domains[at])[:, None]
        mask[tuple(map(torch.from_numpy, targets.seen_candidates(at)))] = False
    return mask.scatter(1, items, True)


def insert_at_rank(others: np.ndarray, items: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Insert each row's target at its rank in the list of the best other items.

    Parameters
    ----------
    others : numpy.ndarray
        int64 [b, k], best first, without the targets.
    items, ranks : numpy.ndarray
        int64 [b], targets and their ranks, from 1; beyond k nothing is inserted.

    Returns
    -------
    numpy.ndarray
        int64 [b, k].

    Examples
    --------
    >>> insert_at_rank(np.array([[5, 6, 7], [5, 6, 7]]), np.array([9, 9]), np.array([2, 4]))
    array([[5, 9, 6],
           [5, 6, 7]])
    """
    index, column = ranks[:, None] - 1, np.arange(others.shape[1])
    moved = np.take_along_axis(others, np.where(column > index, column - 1, column), 1)
    return np.where(column == index, items[:, None], moved)


def _fill_following(
    run: LoadedRun, users: np.ndarray, k: int, lists: RunLists, bar: Progress
) -> None:
    item_domain, start = run.dataset.item_domain, 0
    for batch in user_batches(run, users):
        scores = next_scores(run, batch)
        for domain in range(len(run.dataset.domains)):
            top = best_items(scores, k, item_domain == domain)
            where = start + top.user_index, domain, top.ranks - 1
            lists.following[where], lists.scores[where] = top.items, top.scores
        start += len(batch)
        bar.update(len(batch))
