"""The order of the rows of ``NAME.inter``: by user, by time, then by a written-down tie rule."""

from dataclasses import replace

import numpy as np

from recbole_edt import fields
from recbole_edt.prepare.raw import RawData, make_inter

TIES = ("file", "shuffle")


def sort_interactions(data: RawData, ties: str, seed: int) -> RawData:
    """Sort the interactions by user and exact (float64) time.

    Users are in numeric order when every id is a whole number, else in order of first
    appearance in the raw data. RecBole casts times to float32 and then sorts stably, so rows
    that are in exact order keep it.

    Parameters
    ----------
    data : RawData
        In reading order.
    ties : str
        Equal times of one user: ``file`` keeps the reading order, ``shuffle`` draws one order.
    seed : int
        Of the draw.

    Returns
    -------
    RawData
        With the same rows, sorted.
    """
    ids = data.inter[fields.USER].cat.categories
    rank = np.arange(len(ids))
    if all(len(name) <= 18 and name.isascii() and name.isdigit() for name in ids):
        by_number = np.argsort(ids.to_numpy().astype(np.int64), kind="stable")
        rank[by_number] = np.arange(len(ids))
        ids = ids[by_number]
    users, times = rank[data.users], data.inter[fields.TIME].to_numpy()
    n_rows = len(users)
    tie_key = np.random.default_rng(seed).random(n_rows) if ties == "shuffle" else np.arange(n_rows)
    order = np.lexsort((tie_key, times, users))
    inter = make_inter(
        users[order],
        ids,
        data.item_rows[order],
        data.inter[fields.ITEM].cat.categories,
        times[order],
    )
    return replace(data, inter=inter)
