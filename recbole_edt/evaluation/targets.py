"""The held-out targets of one part of a split, with what is known about each."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from recbole_edt import distributed
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.indexing import ranges
from recbole_edt.data.split import CONTEXT, TRAIN, VALID
from recbole_edt.errors import UserError
from recbole_edt.evaluation.item_facts import ItemFacts
from recbole_edt.evaluation.sampled_candidates import load_or_draw
from recbole_edt.files import digest

_TARGETS_COUNTED = 1 << 14  # targets whose histories are looked at together: a bound on memory
_KNOWN = {"valid": (TRAIN, CONTEXT), "test": (TRAIN, CONTEXT, VALID)}
"""Codes of the rows that are known when a part of a random split is evaluated."""


class Targets:
    """Targets of validation or test, ordered by history length so that batches pad little.

    Parameters
    ----------
    part : CrossDomainDataset
        The validation or test part.
    name : str
        ``valid`` or ``test``.
    users : int, optional
        Keep the targets of this many users only, drawn by the split: the same for every model and
        seed. All by default.

    Raises
    ------
    UserError
        When that leaves a domain without any of its targets.

    Attributes
    ----------
    rows : numpy.ndarray
        Flat row of each target, int [n].
    users, items, domains : numpy.ndarray
        User, item and domain of each target, int [n].
    """

    def __init__(self, part: CrossDomainDataset, name: str, users: int | None = None):
        self.part, self.name = part, name
        starts = part.user_starts[part.store.users[part.rows]]
        order = np.argsort(part.rows - starts, kind="stable")
        self._all_rows = self.rows = part.rows[order]
        if users is not None:
            self.rows = self.rows[self._of_drawn_users(users)]
        self.users = part.flat[part.uid_field][self.rows].numpy()
        self.items = part.flat[part.iid_field][self.rows].numpy()
        self.domains = part.item_domain[self.items].numpy()
        self._draws: dict[tuple[int, str], tuple[np.ndarray, str]] = {}

    @cached_property
    def item_facts(self) -> ItemFacts:
        """What metrics of lists know about the items."""
        return ItemFacts(self.part)

    def _of_drawn_users(self, count: int) -> np.ndarray:
        """Mark the targets of some users drawn uniformly, bool [n]; the order of rows is kept."""
        part = self.part
        owners = part.flat[part.uid_field][self.rows].numpy()
        users = np.unique(owners)
        if count >= len(users):
            return np.ones(len(owners), dtype=bool)
        seed = digest({"split": part.split.hash, "part": self.name, "users": count})
        rng = np.random.default_rng(int(seed[:16], 16))
        kept = np.isin(owners, rng.choice(users, count, replace=False))
        domains = part.item_domain[part.flat[part.iid_field][self.rows]].numpy()
        for lost in sorted({*domains} - {*domains[kept]}):
            raise UserError(
                f"valid_users: the {count} users drawn have no target of domain "
                f"{part.domains[lost]!r}; expected more users (there are {len(users)})"
            )
        return kept

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield indices of targets, at most `size` at a time.

        Of several processes each gets every so manieth batch of the same ones, so that scores do
        not depend on how many there are; `merge` puts the results together.
        """
        starts = range(0, len(self), size)
        for start in starts[distributed.rank() :: distributed.size()]:
            yield np.arange(start, min(start + size, len(self)))

    @staticmethod
    def merge(results: np.ndarray) -> np.ndarray:
        """Return the results of all processes.

        Parameters
        ----------
        results : numpy.ndarray
            Numbers per target [..., n] as far as `batches` gave this process the targets; 0 for
            the others.
        """
        return distributed.add_up(torch.from_numpy(results)).numpy()

    def user_numbers(self, at: np.ndarray) -> np.ndarray | None:
        """Return the users of some targets as the model numbers them; None where it cannot."""
        return self.users[at]

    def history(self, at: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the items before some targets, as pairs (index into `at`, item id), int64 [m].

        Under a random split, in which no row is before another, those are the user's training
        rows, and for test the validation rows.
        """
        starts = self.part.user_starts[self.users[at]]
        if self.part.split.is_random and self.name in _KNOWN:
            ends = self.part.user_starts[self.users[at] + 1]
            index, rows = ranges(starts, ends - starts)
            known = np.isin(self.part.codes[rows], _KNOWN[self.name])
            index, rows = index[known], rows[known]
        else:
            index, rows = ranges(starts, self.rows[at] - starts)
        return torch.from_numpy(index), self.part.flat[self.part.iid_field][rows]

    def seen_candidates(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what is masked under ``target_domain``: items of the domain before some targets.

        Returns
        -------
        tuple
            Index into `at` and item id, int64 [m]; no pair twice, and no target itself.
        """
        index, items = (pairs.numpy() for pairs in self.history(at))
        same_domain = self.part.item_domain.numpy()[items] == self.domains[at][index]
        masked = same_domain & (items != self.items[at][index])
        pairs = np.unique(index[masked] * self.part.item_num + items[masked])
        return pairs // self.part.item_num, pairs % self.part.item_num

    def count_repeated(self) -> int:
        """Return how many targets are items of their own history.

        They are ranked, and yet never recommended where items of the history are not.
        """
        count = 0
        for start in range(0, len(self), _TARGETS_COUNTED):
            at = np.arange(start, min(start + _TARGETS_COUNTED, len(self)))
            index, items = (pairs.numpy() for pairs in self.history(at))
            count += len(np.unique(index[items == self.items[at][index]]))
        return count

    def last_items(self, at: np.ndarray, count: int) -> np.ndarray:
        """Return the last items before some targets, latest first, int64 [len(at), count].

        0 pads the histories that are shorter.
        """
        rows = self.rows[at][:, None] - 1 - np.arange(count)
        known = rows >= self.part.user_starts[self.users[at]][:, None]
        return self.part.flat[self.part.iid_field][np.where(known, rows, 0)].numpy() * known

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
            Item ids, int64 [n, count], in this object's order, and the hash of the draw.
        """
        if (count, scope) not in self._draws:
            rows = np.sort(self._all_rows)  # the draw does not depend on which users are kept
            items, draw_hash = load_or_draw(self.part, self.name, rows, count, scope)
            self._draws[count, scope] = items[np.searchsorted(rows, self.rows)], draw_hash
        return self._draws[count, scope]
