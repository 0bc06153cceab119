"""The held-out targets of one part of a split, with what is known about each."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError
from recbole_edt.files import digest, replacing

_MOST_TRIES = 1 << 22  # drawn at a time: 32 MiB an array


class Targets:
    """Targets of validation or test, ordered by history length so that batches pad little.

    Parameters
    ----------
    part : CrossDomainDataset
        The validation or test part.
    name : str
        ``valid`` or ``test``.

    Attributes
    ----------
    rows : numpy.ndarray
        Flat row of each target, [n].
    users, items, domains : numpy.ndarray
        User, item and domain of each target, [n].
    """

    def __init__(self, part: CrossDomainDataset, name: str):
        self.part, self.name = part, name
        starts = part.user_starts[part.flat[part.uid_field][part.rows].numpy()]
        order = np.argsort(part.rows - starts, kind="stable")
        self.rows = part.rows[order]
        self.users = part.flat[part.uid_field][self.rows].numpy()
        self.items = part.flat[part.iid_field][self.rows].numpy()
        self.domains = part.item_domain[self.items].numpy()
        self._draws: dict[tuple[int, str], tuple[np.ndarray, str]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield positions of targets, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def history(self, at: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the users of some targets had before them, as (place in `at`, item id)."""
        starts = self.part.user_starts[self.users[at]]
        lengths = self.rows[at] - starts
        place = np.repeat(np.arange(len(at)), lengths)
        within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = self.part.flat[self.part.iid_field][np.repeat(starts, lengths) + within]
        return torch.from_numpy(place), items

    def last_items(self, at: np.ndarray, count: int) -> np.ndarray:
        """Return the last items before some targets, latest first, int64 [len(at), count].

        0 stands where a user has no more.
        """
        rows = self.rows[at][:, None] - 1 - np.arange(count)
        known = rows >= self.part.user_starts[self.users[at]][:, None]
        return self.part.flat[self.part.iid_field].numpy()[np.where(known, rows, 0)] * known

    def sampled_candidates(self, count: int, scope: str) -> tuple[np.ndarray, str]:
        """Return a frozen draw of other items for each target, the same for every model.

        Drawn once per split and catalogue, uniformly and without replacement among the items
        that the user never interacted with (of the target's domain under ``target_domain``), and
        kept beside the split.

        Parameters
        ----------
        count : int
            Items per target.
        scope : str
            ``target_domain`` or ``all``.

        Returns
        -------
        tuple
            Item ids [n, count] in this object's order, and the hash of the draw.
        """
        known = self._draws.get((count, scope))
        if known is not None:
            return known
        part = self.part
        # What stands in a file of an earlier catalogue are numbers of other items.
        tokens, domains = part.field2id_token[part.iid_field][1:], part.item_domain[1:].tolist()
        catalogue = digest([tokens.tolist(), domains])[:12]
        folder = Path(part.config.dataset_dir) / "split"
        path = folder / f"{part.split.kind}.{self.name}.{scope}.{count}.{catalogue}.npy"
        key = digest({"split": part.split.hash, "part": self.name, "count": count, "scope": scope})
        if path.exists():
            try:
                drawn = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{path}: not a readable array ({error})") from None
            if drawn.shape != (len(self), count):
                raise UserError(f"{path}: shape {drawn.shape}, expected {(len(self), count)}")
        else:
            drawn = self._draw(count, scope, int(key[:16], 16))
            with replacing(path) as temporary, open(temporary, "wb") as handle:
                np.save(handle, drawn, allow_pickle=False)
        draw_hash = hashlib.sha256(key.encode() + drawn.tobytes()).hexdigest()
        found = drawn[np.argsort(np.argsort(self.rows))], draw_hash
        self._draws[count, scope] = found
        return found

    def _draw(self, count: int, scope: str, seed: int) -> np.ndarray:
        """Draw for each target in the order of its flat row, by vectorised rejection."""
        part, rng = self.part, np.random.default_rng(seed)
        by_row = np.argsort(self.rows)
        users, domains = self.users[by_row], self.domains[by_row]
        item_domain = part.item_domain.numpy()
        taken = np.unique(
            part.flat[part.uid_field].numpy() * part.item_num + part.flat[part.iid_field].numpy()
        )
        drawn = np.empty((len(self), count), dtype=np.int64)
        groups = [(domains >= 0, np.arange(1, part.item_num))]
        if scope == "target_domain":
            groups = [
                (domains == k, np.flatnonzero(item_domain == k)) for k in range(len(part.domains))
            ]
        width = 2 * count + 16
        for chosen, pool in groups:
            members, short = np.flatnonzero(chosen), []
            size = max(_MOST_TRIES // width, 1)
            for owners in np.split(members, range(size, len(members), size)):
                tries = pool[rng.integers(len(pool), size=(len(owners), width))]
                keys = users[owners, None] * part.item_num + tries
                found = np.searchsorted(taken, keys).clip(max=len(taken) - 1)
                usable = (taken[found] != keys) & _first_of_each(tries)
                first = np.argsort(~usable, axis=1, kind="stable")[:, :count]
                drawn[owners] = np.take_along_axis(tries, first, 1)
                short.append(owners[usable.sum(1) < count])
            for owner in np.concatenate(short):  # rare: small pools, heavy users
                first = users[owner] * part.item_num
                start, end = np.searchsorted(taken, (first, first + part.item_num))
                others = np.setdiff1d(pool, taken[start:end] - first)
                if len(others) < count:
                    raise UserError(
                        f"sampled_candidates: found {len(others)} items that a user never had, "
                        f"expected at least {count}"
                    )
                drawn[owner] = rng.choice(others, count, replace=False)
        return drawn


def _first_of_each(values: np.ndarray) -> np.ndarray:
    """Mark the first occurrence of each value within its row, bool of the same shape."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    first = np.ones(values.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], 1)
    return first
