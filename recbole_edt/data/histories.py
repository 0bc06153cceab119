"""Histories that are given rather than read from ``NAME.inter``, as a dataset that models score."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.flat_table import Column, FlatTable
from recbole_edt.data.indexing import insert_after, last_index_of, occurrences, ranges
from recbole_edt.data.store import TokenIds, Tokens


@dataclass(frozen=True)
class Histories:
    """Interactions of N users, oldest first; history n is rows ``starts[n]:starts[n + 1]``.

    Attributes
    ----------
    users : numpy.ndarray
        Number of each history's user in the dataset, 0 for one that it does not know, int64 [N].
    starts : numpy.ndarray
        First row of each history, int64 [N + 1]. None is empty.
    items : numpy.ndarray
        Item numbers, int64 [R].
    times : numpy.ndarray or None
        As in ``NAME.inter``, float64 [R]; None when only the order is known.
    """

    users: np.ndarray
    starts: np.ndarray
    items: np.ndarray
    times: np.ndarray | None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def owners(self) -> np.ndarray:
        """The history of each row, int64 [R]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def with_items(
    dataset: CrossDomainDataset, ids: Sequence[str], domains: Sequence[int]
) -> CrossDomainDataset:
    """Return a dataset with further items, for scoring only: no interaction or file has them.

    Parameters
    ----------
    dataset : CrossDomainDataset
        Stays as it is.
    ids : sequence of str
        Ids that the dataset does not have, n of them.
    domains : sequence of int
        Domain of each.
    """
    more, field = copy(dataset), dataset.iid_field
    known = dataset.field2id_token[field]
    tokens = Tokens(known.vocabulary, [*known.more, *ids])
    more.field2id_token = {**dataset.field2id_token, field: tokens}
    more.field2token_id = {**dataset.field2token_id, field: TokenIds(tokens)}
    more.item_domain = torch.cat([dataset.item_domain, torch.tensor(domains, dtype=torch.int64)])
    return more


def with_histories(dataset: CrossDomainDataset, given: Histories) -> CrossDomainDataset:
    """Return a dataset whose user n is history n, in all that scoring reads.

    Items, domains and the model's inputs are those of `dataset`, which stays as it is. With
    ``augment_inference`` a known user's augmented interactions follow their anchors here too.
    """
    view = copy(dataset)
    columns = {dataset.iid_field: Column(given.items, torch.int64)}
    if given.times is not None:
        columns[dataset.time_field] = Column(given.times, torch.float32)
    view.flat, view.user_starts = FlatTable(columns), given.starts
    if dataset.config["augment"] and dataset.config["augment_inference"]:
        view.__dict__["_all_augmented"] = _augmented(dataset, given)  # a cached property
    return view


def extended(dataset: CrossDomainDataset, given: Histories) -> tuple[Histories, int]:
    """Return histories that begin with what the dataset has of each known user.

    Rows are ordered by time, those of the dataset first where times are equal; without times the
    given ones come last. A given row that the dataset has (same user, item and time) is one row.

    Returns
    -------
    tuple
        The histories, and how many of the given rows the dataset has.
    """
    first = dataset.user_starts[given.users]
    known = np.where(given.users > 0, dataset.user_starts[given.users + 1] - first, 0)
    owner, rows = ranges(first, known)
    owners = np.concatenate([owner, given.owners])
    items = np.concatenate([dataset.store.items[rows].astype(np.int64), given.items])
    is_given = np.arange(len(owners)) >= len(rows)
    if given.times is None:
        times, kept = None, np.ones(len(owners), dtype=bool)
        order = np.argsort(owners, kind="stable")
    else:
        times = np.concatenate([dataset.store.times[rows], given.times])
        kept = ~(is_given & _in_first(len(rows), owners, items, times))
        order = np.lexsort((times, owners))
    order = order[kept[order]]
    starts = np.searchsorted(owners[order], np.arange(len(given) + 1))
    ordered = None if times is None else times[order]
    return Histories(given.users, starts, items[order], ordered), int((~kept).sum())


def _in_first(count: int, *columns: np.ndarray) -> np.ndarray:
    """Mark the rows that equal one of the first `count` rows in all columns, bool [n]."""
    order = np.lexsort(columns)
    changes = np.zeros(len(order), dtype=bool)
    for column in columns:
        changes[1:] |= column[order][1:] != column[order][:-1]
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(changes)
    return np.isin(group, group[:count])


def _augmented(
    dataset: CrossDomainDataset, given: Histories
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return owner and item of all rows with augmented ones in between, and where each row went.

    An anchor is its user's n-th interaction with an item, in the dataset as in the history; a
    history without it lacks what follows it.
    """
    users, items, anchors = dataset._augmented
    known = np.unique(given.users[given.users > 0])
    of_known = np.isin(users, known)
    users, items, anchors = users[of_known], items[of_known], anchors[of_known]
    starts = dataset.user_starts[known]
    _, rows = ranges(starts, dataset.user_starts[known + 1] - starts)
    store, width = dataset.store, dataset.item_num
    nth = occurrences(store.users[rows].astype(np.int64) * width + store.items[rows])
    nth_anchor = nth[np.searchsorted(rows, anchors)]
    keys = given.owners * width + given.items
    nth_given = occurrences(keys)
    # every augmented interaction once per history of its user
    by_user = np.argsort(given.users, kind="stable")
    first = np.searchsorted(given.users[by_user], users)
    last = np.searchsorted(given.users[by_user], users, side="right")
    which, index = ranges(first, last - first)
    owner = by_user[index]
    most = int(max(nth_anchor.max(initial=0), nth_given.max(initial=0))) + 1
    wanted = (owner * width + store.items[anchors[which]]) * most + nth_anchor[which]
    row = last_index_of(wanted, keys * most + nth_given)
    there = row >= 0
    order, new_index = insert_after(np.arange(len(given.items)), row[there])
    owners = np.concatenate([given.owners, owner[there]])[order]
    return owners, np.concatenate([given.items, items[which][there]])[order], new_index
