"""What a run lists for many users: before the held-out item, and after the complete history."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.ranking import rank_with_lists
from recbole_edt.evaluation.repeats import ranks_history
from recbole_edt.evaluation.targets import Targets
from recbole_edt.progress import Progress, progress_of
from recbole_edt.recommend.scoring import best_items, next_scores, user_batches
from recbole_edt.runs import LoadedRun


@dataclass(frozen=True)
class RunLists:
    """Lists of one run for U users; item numbers are the dataset's, 0 where there is none.

    Attributes
    ----------
    held_out : numpy.ndarray
        int64 [U, k], the best candidates for each user's last test target, as the run ranks them.
    rank : numpy.ndarray
        int64 [U], rank of the target, 0 for a user without one.
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
        When a score is not a number.
    """
    domains, size = len(run.dataset.domains), len(users)
    lists = RunLists(
        np.zeros((size, k), np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64),
        np.zeros((size, domains, k), np.int64), np.zeros((size, domains, k), np.float32),
    )  # fmt: skip
    with progress_of(size, run.record.model, "user", show_progress) as bar:
        _fill_following(run, users, k, lists, bar)
    _fill_held_out(run, users, k, lists)
    return lists


class _LastTargets(Targets):
    """The last test target of each of some users; splits by ratio have several per user."""

    def __init__(self, part: CrossDomainDataset, users: np.ndarray):
        super().__init__(part, "test")
        order = np.argsort(self.rows)  # users one by one
        of_user = self.users[order]
        is_last = np.append(of_user[1:] != of_user[:-1], True)
        kept = np.sort(order[is_last & np.isin(of_user, users)])
        self.rows, self.users = self.rows[kept], self.users[kept]
        self.items, self.domains = self.items[kept], self.domains[kept]


def _fill_held_out(run: LoadedRun, users: np.ndarray, k: int, lists: RunLists) -> None:
    targets, protocol = _LastTargets(run.dataset, users), run.record.protocol
    ranking = rank_with_lists(
        run.model, targets, protocol.candidates, protocol.sampled, run.expert, length=k
    )
    row = np.searchsorted(users, targets.users)
    lists.held_out[row], lists.rank[row] = ranking.lists, ranking.ranks
    lists.candidates[row] = candidate_counts(run, targets)


def candidate_counts(run: LoadedRun, targets: Targets) -> np.ndarray:
    """Return among how many items each target is ranked in the protocol of a run, int64 [n].

    Parameters
    ----------
    run : LoadedRun
        Decides scope and sampling; see `recbole_edt.evaluation.ranking.rank_targets`.
    targets : Targets
        Of the test part.
    """
    dataset, protocol = run.dataset, run.record.protocol
    every = np.arange(len(targets))
    if protocol.sampled is not None:
        return np.full(len(targets), protocol.sampled + 1)
    if protocol.candidates != "all":
        sizes = np.bincount(dataset.item_domain[1:].numpy())
        seen = np.bincount(targets.seen_candidates(every)[0], minlength=len(targets))
        counts: np.ndarray = sizes[targets.domains] - seen
        return counts
    if ranks_history(dataset, protocol.candidates):
        return np.full(len(targets), dataset.item_num - 1)
    index, items = (pairs.numpy() for pairs in targets.history(every))
    others = items != targets.items[index]
    pairs = np.unique(index[others] * dataset.item_num + items[others])
    return dataset.item_num - 1 - np.bincount(pairs // dataset.item_num, minlength=len(targets))


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
