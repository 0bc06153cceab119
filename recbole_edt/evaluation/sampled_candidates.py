"""Sampled candidates: items drawn once for each target and frozen, the same for every model."""

import hashlib
from pathlib import Path

import numpy as np

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.indexing import first_of_each
from recbole_edt.data.split_codes import LATER
from recbole_edt.errors import UserError
from recbole_edt.files import digest, load_array, replacing

_MOST_DRAWN = 1 << 22  # items drawn at a time: 32 MiB an array


def load_or_draw(
    part: CrossDomainDataset, name: str, rows: np.ndarray, count: int, scope: str
) -> tuple[np.ndarray, str]:
    """Return the candidate sets of some targets, drawing and storing them if there are none.

    Parameters
    ----------
    part : CrossDomainDataset
        The part of the dataset that holds the targets.
    name : str
        Its name, ``valid`` or ``test``.
    rows : numpy.ndarray
        Flat rows of the targets, rising, int [n].
    count : int
        Items per target.
    scope : str
        ``target_domain`` or ``all``.

    Returns
    -------
    items : numpy.ndarray
        int64 [n, count].
    hash : str
        Hex digest of the draw.

    Raises
    ------
    UserError
        When the stored draw is damaged, or a user has interacted with too many items.
    """
    # Item ids mean something only within one catalogue, so that its hash is in the file's name.
    catalogue = digest([part.item_tokens.tolist(), part.item_domain[1:].tolist()])[:12]
    folder = Path(part.config.dataset_dir) / "split"
    path = folder / f"{part.split.kind}.{name}.{scope}.{count}.{catalogue}.npy"
    key = digest({"split": part.split.hash, "part": name, "count": count, "scope": scope})
    if path.exists():
        try:
            items = load_array(path)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: not a readable array ({error}); delete it to draw again"
            ) from None
        if items.shape != (len(rows), count) or items.dtype != np.int64:
            raise UserError(
                f"{path}: {items.dtype} {list(items.shape)}, expected int64 {[len(rows), count]}; "
                "delete it to draw again"
            )
        if items.size and not (items.min() > 0 and items.max() < part.item_num):
            raise UserError(
                f"{path}: items {items.min()} to {items.max()}, expected 1 to "
                f"{part.item_num - 1}; delete it to draw again"
            )
    else:
        items = _draw(part, rows, count, scope, int(key[:16], 16))
        with replacing(path) as temporary, open(temporary, "wb") as handle:
            np.save(handle, items, allow_pickle=False)
    return items, hashlib.sha256(key.encode() + items.tobytes()).hexdigest()


def _draw(
    part: CrossDomainDataset, rows: np.ndarray, count: int, scope: str, seed: int
) -> np.ndarray:
    """Draw uniformly without replacement among the items a user never had, by rejection.

    Of a fold, those that the user did not have until the end of its test window.
    """
    rng = np.random.default_rng(seed)
    item_domain = part.item_domain.numpy()
    all_users = part.store.users.astype(np.int64)  # they are multiplied below
    all_items = part.store.items
    known = part.codes != LATER  # which items a user will choose after the test window is not
    users, domains = all_users[rows], item_domain[all_items[rows]]
    taken = np.unique((all_users * part.item_num + all_items)[known])  # one number per (user, item)
    drawn = np.empty((len(rows), count), dtype=np.int64)
    groups = [(domains >= 0, np.arange(1, part.item_num))]
    if scope == "target_domain":
        groups = [
            (domains == k, np.flatnonzero(item_domain == k)) for k in range(len(part.domains))
        ]
    width = 2 * count + 16
    size = max(_MOST_DRAWN // width, 1)
    for in_group, candidates in groups:
        members, short = np.flatnonzero(in_group), []
        for batch in np.split(members, range(size, len(members), size)):
            tried = candidates[rng.integers(len(candidates), size=(len(batch), width))]
            pairs = users[batch, None] * part.item_num + tried
            index = np.searchsorted(taken, pairs).clip(max=len(taken) - 1)
            usable = (taken[index] != pairs) & first_of_each(tried)
            columns = np.argsort(~usable, axis=1, kind="stable")[:, :count]
            drawn[batch] = np.take_along_axis(tried, columns, 1)
            short.append(batch[usable.sum(1) < count])
        for target in np.concatenate(short):  # rare: few candidates, heavy users
            first = users[target] * part.item_num
            start, end = np.searchsorted(taken, (first, first + part.item_num))
            others = np.setdiff1d(candidates, taken[start:end] - first)
            if len(others) < count:
                raise UserError(
                    f"sampled_candidates: found {len(others)} items that a user never had, "
                    f"expected at least {count}"
                )
            drawn[target] = rng.choice(others, count, replace=False)
    return drawn
