"""Insertion: the position of a proposed item in the user's history."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.store import ANCHOR, MODE, SCORE
from recbole_edt.artefacts.training_rows import TrainingRows

_AT_ONCE = 128


def find_anchors(
    training: TrainingRows, users: np.ndarray, items: np.ndarray, unit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the anchor of each item: the user's training row with the most similar item.

    Of equally similar rows it is the latest [ours].

    Parameters
    ----------
    training : TrainingRows
        Histories.
    users, items : numpy.ndarray
        int64 [A], the user and the item of each pair.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.

    Returns
    -------
    numpy.ndarray
        int64 [A], rows of `training`.
    numpy.ndarray
        float32 [A], cosine similarity of the item to the item of that row.

    Examples
    --------
    One item against a user's four rows::

        rows        [7, 8, 9, 10]
        similarity  [.2, .9, .1, .9]
        order       rows 9, 7, 8, 10     (by similarity, then row)
        anchor      10                   (the last)
    """
    anchors = np.zeros(len(users), dtype=np.int64)
    highest = np.zeros(len(users), dtype=np.float32)
    for start in range(0, len(users), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        rows, owners = training.of_users(users[block])
        similarity = np.einsum("rm,rm->r", unit[training.items[rows]], unit[items[block]][owners])
        # Ascending, so that the last entry of an owner is its most similar, latest row.
        order = np.lexsort((rows, similarity, owners))
        last = order[np.flatnonzero(np.r_[owners[order][1:] != owners[order][:-1], True])]
        anchors[block], highest[block] = rows[last], similarity[last]
    return anchors, highest


def augmented_rows(
    training: TrainingRows,
    users: np.ndarray,
    items: np.ndarray,
    scores: Sequence[float],
    unit: np.ndarray,
    catalogue_ids: Sequence[str],
    mode: str,
) -> pd.DataFrame:
    """Return the accepted items, int64 [A], of users, int64 [A], as rows, each after its anchor.

    An item comes right after the user's training item that it is most similar to [ours] and has
    its timestamp; items after one anchor keep their order of preference.

    Returns
    -------
    pandas.DataFrame
        The columns of ``augmented.inter``, sorted by user (in the order of the interaction
        file), then position.
    """
    anchors, _ = find_anchors(training, users, items, unit)
    order = np.lexsort((np.arange(len(anchors)), anchors))
    users, items, anchors = users[order], items[order], anchors[order]
    ids = np.asarray(catalogue_ids, dtype=object)
    domain_names = np.asarray(training.domain_names, dtype=object)
    return pd.DataFrame(
        {
            fields.USER: np.asarray(training.user_tokens, dtype=object)[users],
            fields.ITEM: ids[items],
            fields.TIME: training.times[anchors],
            fields.DOMAIN: domain_names[training.item_domains[items]],
            ANCHOR: ids[training.items[anchors]],
            SCORE: np.array(scores, dtype=np.float64)[order],
            MODE: mode,
        }
    )
