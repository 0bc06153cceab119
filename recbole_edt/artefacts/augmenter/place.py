"""Where in a user's history a proposed item stands."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.augmenter import augmented_file
from recbole_edt.artefacts.augmenter.choose import Choice
from recbole_edt.artefacts.augmenter.nearness import rows_of
from recbole_edt.artefacts.questions import Work
from recbole_edt.artefacts.task import Training

_AT_ONCE = 128


def find_anchors(
    training: Training, users: np.ndarray, items: np.ndarray, unit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training row of the user that each item is nearest to.

    Of equally near rows it is the latest [ours].

    Parameters
    ----------
    training : Training
        Histories.
    users, items : numpy.ndarray
        int64 [A], who and what.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.

    Returns
    -------
    numpy.ndarray
        int64 [A], rows of `training`.
    numpy.ndarray
        float32 [A], cosine similarity of the item to the item of that row.
    """
    anchors = np.zeros(len(users), dtype=np.int64)
    nearest = np.zeros(len(users), dtype=np.float32)
    for start in range(0, len(users), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        rows, owners = rows_of(training, users[here])
        similarity = np.einsum("rm,rm->r", unit[training.items[rows]], unit[items[here]][owners])
        # Ascending, so that the last entry of an owner is its most similar, latest row.
        order = np.lexsort((rows, similarity, owners))
        last = order[np.flatnonzero(np.r_[owners[order][1:] != owners[order][:-1], True])]
        anchors[here], nearest[here] = rows[last], similarity[last]
    return anchors, nearest


def place(work: Work, choice: Choice, catalogue_ids: Sequence[str], mode: str) -> pd.DataFrame:
    """Return the accepted items as rows, each behind its anchor.

    An item stands right after the user's training item that it is nearest to [ours] and has
    its timestamp; items behind one anchor keep their order of preference.

    Returns
    -------
    pandas.DataFrame
        The columns of `augmented_file.COLUMNS`, sorted by user (in the order of the
        interaction file), then place.
    """
    training = work.training
    demands, items = np.array(choice.demands, np.int64), np.array(choice.items, np.int64)
    users = work.demands.users[demands]
    anchors, _ = find_anchors(training, users, items, work.unit)
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
            augmented_file.ANCHOR: ids[training.items[anchors]],
            augmented_file.SCORE: np.array(choice.scores, dtype=np.float64)[order],
            augmented_file.MODE: mode,
        }
    )
