"""Comparing the lists of an exported file with those of ``recommend``, on the dataset's users."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from recbole_edt.data.indexing import history_rows
from recbole_edt.errors import UserError
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.onnx_file import OnnxLists
from recbole_edt.recommend import best_items, next_scores
from recbole_edt.runs import LoadedRun

TOLERANCE = 1e-4
"""Of a score, or of one part in so many of a score above 1."""

_USERS, _BATCH = 256, 64


class Comparison(NamedTuple):
    """What was compared.

    Attributes
    ----------
    users, lists : int
        Histories, and lists: one per history and domain, and one for all domains.
    largest_difference : float
        Of a score and the one that ``recommend`` has in its place.
    """

    users: int
    lists: int
    largest_difference: float


def compare_lists(
    run: LoadedRun, lists: OnnxLists, numbering: Numbering, k: int, repeats: bool = False
) -> Comparison:
    """Compare lists on histories of the dataset, the shortest and the longest among them.

    Items whose scores differ by less than the tolerance may change places.

    Parameters
    ----------
    run : LoadedRun
        Whose lists are right.
    lists : OnnxLists
        The exported file.
    numbering : Numbering
        Its item numbers.
    k : int
        Items in a list.
    repeats : bool
        Whether items of the history may be recommended.

    Raises
    ------
    UserError
        Names the first user whose lists differ, the place, and both scores.
    """
    domains = [None, *numbering.slices] if numbering.domain is None else [numbering.domain]
    largest, count, users = 0.0, 0, _users(run)
    for some in _batches(users):
        history, scores = _histories(run, numbering, some), next_scores(run, some, repeats)
        for domain in domains:
            allowed = None if domain is None else run.dataset.item_domain == domain
            top = best_items(scores, k, allowed)
            expected = np.full((len(some), k), -np.inf, np.float32)
            expected[top.user_index, top.ranks - 1] = top.scores
            found, found_scores = _widened(*lists(history, domain), k)
            items = numbering.items.numpy()[found]
            of_items = scores.gather(1, torch.from_numpy(items)).numpy()
            if domain is not None:
                elsewhere = (run.dataset.item_domain[items] != domain).numpy()
                of_items = np.where(elsewhere, -np.inf, of_items)
            largest = max(largest, _differing(run, some, items, found_scores, expected))
            _differing(run, some, items, of_items, expected)
            count += len(some)
    return Comparison(len(users), count, largest)


def _users(run: LoadedRun) -> np.ndarray:
    """Return users with a history, evenly over the lengths of histories."""
    lengths = np.diff(run.dataset.user_starts)[1:]
    order = 1 + np.argsort(lengths, kind="stable")
    order = order[lengths[order - 1] > 0]
    return order[np.unique(np.linspace(0, len(order) - 1, min(_USERS, len(order)), dtype=np.int64))]


def _batches(users: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a batch of one user, then larger ones of histories of different lengths."""
    yield users[-1:]
    for start in range(-(-len(users) // _BATCH)):
        yield users[start :: -(-len(users) // _BATCH)]


def _histories(run: LoadedRun, numbering: Numbering, users: np.ndarray) -> np.ndarray:
    """Return complete histories as item numbers, int64 [B, longest], padded on the right."""
    dataset, starts = run.dataset, run.dataset.user_starts
    rows, inside, _ = history_rows(starts[users], starts[users + 1], longest=len(dataset.store))
    items = numbering.of_items[dataset.flat[dataset.iid_field][rows]].numpy()
    return np.where(inside, items, 0)


def _widened(items: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill lists of fewer than `k` columns up; a domain may have fewer items."""
    missing = ((0, 0), (0, k - items.shape[1]))
    return np.pad(items, missing), np.pad(scores, missing, constant_values=-np.inf)


def _differing(
    run: LoadedRun, users: np.ndarray, items: np.ndarray, scores: np.ndarray, expected: np.ndarray
) -> float:
    """Return the largest difference; refuse one above the tolerance. All arrays are [B, k]."""
    both_end = np.isneginf(scores) & np.isneginf(expected)
    difference = np.abs(np.subtract(scores, expected, where=~both_end, out=np.zeros_like(expected)))
    tolerance = TOLERANCE * np.maximum(1, np.abs(np.where(np.isfinite(expected), expected, 1)))
    wrong = np.argwhere(~(difference <= tolerance))  # NaN is wrong as well
    if len(wrong):
        row, rank = wrong[0]
        dataset = run.dataset
        user = str(dataset.field2id_token[dataset.uid_field][users[row]])
        item = str(dataset.field2id_token[dataset.iid_field][items[row, rank]])
        raise UserError(
            f"export: {run.folder.path}: the exported list of user {user!r} has {item!r} at rank "
            f"{rank + 1} with score {scores[row, rank]:.6g}, expected score "
            f"{expected[row, rank]:.6g} as 'recommend' has it; nothing was written"
        )
    return float(difference.max(initial=0.0))
