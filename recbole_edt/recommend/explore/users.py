"""The users of a page: who, their histories, and the profiles and proposals that runs read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.store import ANCHOR, MODE, PROFILES, SCORE, ArtefactSet
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.recommend.explore.packing import pack
from recbole_edt.recommend.scoring import history_rows
from recbole_edt.recommend.user_history import profile_name, seconds_of
from recbole_edt.runs import LoadedRun


def users_of_page(dataset: CrossDomainDataset, most: int, seed: int) -> np.ndarray:
    """Return the numbers of the page's users, rising: all with interactions, or a random sample.

    Parameters
    ----------
    dataset : CrossDomainDataset
        All interactions.
    most : int
        Users of the page at most.
    seed : int
        Of the sample.
    """
    users = np.flatnonzero(np.diff(dataset.user_starts))
    if len(users) > most:
        users = np.random.default_rng(seed).choice(users, most, replace=False)
    return np.sort(users)


def histories(
    dataset: CrossDomainDataset, users: np.ndarray, number_on_page: np.ndarray
) -> dict[str, Any]:
    """Return ids and histories of the page's users.

    Parameters
    ----------
    dataset : CrossDomainDataset
        All interactions.
    users : numpy.ndarray
        int64 [U].
    number_on_page : numpy.ndarray
        int64 [item_num], one plus the index on the page of each item, 0 for those not on it.
    """
    rows = history_rows(dataset, users)
    lengths = dataset.user_starts[users + 1] - dataset.user_starts[users]
    times = dataset.store.times[rows].astype(np.float64)
    seconds = np.round(seconds_of(times))
    are_dates = not np.isnan(seconds).any()
    if are_dates:
        times = seconds.astype(np.uint32) if seconds.max() < 2**32 else seconds
    return {
        "ids": dataset.field2id_token[dataset.uid_field][users].tolist(),
        "starts": pack(np.append(0, np.cumsum(lengths))),
        "items": pack(number_on_page[dataset.store.items[rows]] - 1),
        "times": pack(times),
        "dates": are_dates,
        "parts": pack(dataset.codes[rows]),
    }


def artefacts_of(
    runs: Sequence[LoadedRun],
    labels: Sequence[str],
    users: Sequence[str],
    index_of_item: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return profiles and proposed interactions of the page's users, per set that runs read.

    Parameters
    ----------
    runs : sequence of LoadedRun
        Those without artefacts are left out.
    labels : sequence of str
        What a reader knows the runs by.
    users : sequence of str
        User ids of the page.
    index_of_item : mapping of str to int
        Index on the page of each item id.
    """
    sets: dict[str, tuple[ArtefactSet, list[str], bool]] = {}
    for run, label in zip(runs, labels, strict=True):
        if run.artefacts is not None:
            known = sets.setdefault(run.artefacts.hash, (run.artefacts, [], False))
            uses = known[2] or bool(run.config["augment"])
            sets[run.artefacts.hash] = known[0], [*known[1], label], uses
    numbers = pd.Index(users, dtype=object)
    return [
        {
            "hash": artefacts.hash,
            "runs": names,
            "profiles": _profiles(artefacts, numbers),
            "proposals": _proposals(artefacts, numbers, index_of_item),
            "augment": uses,
        }
        for artefacts, names, uses in sets.values()
    ]


def _profiles(artefacts: ArtefactSet, users: pd.Index) -> dict[str, Any] | None:
    if not artefacts.has(PROFILES):
        return None
    frame, starts = _by_user(artefacts.profile_texts(), users)
    columns = frame[fields.DOMAIN], frame["stage"], frame["group"]
    names = [profile_name(*values) for values in zip(*columns, strict=True)]
    codes, distinct = pd.factorize(np.array(names, dtype=object))
    return {
        "starts": pack(starts),
        "name": pack(codes),
        "names": distinct.tolist(),
        "texts": frame["text"].tolist(),
    }


def _proposals(
    artefacts: ArtefactSet, users: pd.Index, index_of_item: Mapping[str, int]
) -> dict[str, Any] | None:
    rows = artefacts.augmented()
    if rows is None:
        return None
    frame, starts = _by_user(rows, users)
    items, anchors = (
        np.array([index_of_item[item] for item in frame[column]], dtype=np.int64)
        for column in (fields.ITEM, ANCHOR)
    )
    codes, modes = pd.factorize(frame[MODE])
    return {
        "starts": pack(starts),
        "items": pack(items),
        "anchors": pack(anchors),
        "scores": pack(frame[SCORE].to_numpy(np.float32)),
        "mode": pack(codes),
        "modes": modes.tolist(),
    }


def proposed_items(runs: Sequence[LoadedRun], users: Sequence[str]) -> list[str]:
    """Return the ids of the items, and their anchors, that were proposed for some users."""
    wanted = {*users}
    found: set[str] = set()
    for run in runs:
        frame = run.artefacts.augmented() if run.artefacts is not None else None
        if frame is not None:
            of_page = frame[frame[fields.USER].isin(wanted)]
            found.update(of_page[fields.ITEM], of_page[ANCHOR])
    return sorted(found)


def _by_user(frame: pd.DataFrame, users: pd.Index) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of some users in their order, and where each user's begin, int [U + 1]."""
    numbers = users.get_indexer(frame[fields.USER])
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]
    return frame.iloc[order], np.searchsorted(numbers[order], np.arange(len(users) + 1))
