"""How near an item is to what a user has: by titles, or by the users whom both have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import sparse

from recbole_edt.artefacts.task import Training

BLOCK = 1 << 24
"""Most values held at once; 64 MB of float32."""

Against = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Users and their dominant domains, int64 [B] each, to values float32 [B, T]; -inf: not near."""


class Nearness(Protocol):
    """Ranks the items of a domain for a user."""

    def against(self, targets: np.ndarray) -> Against:
        """Return the function that compares users with these catalogue rows, int64 [T]."""

    def at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""


@dataclass(frozen=True)
class ByTitles:
    """Cosine similarity to the nearest of the user's training items in the dominant domain.

    Attributes
    ----------
    training : Training
        Histories.
    unit : numpy.ndarray
        float32 [N, m], unit vectors; zeros for an item without text, which is near nothing.
    floor : float
        Less similar items are not near.
    block : int
        Most similarities to hold at once.
    """

    training: Training
    unit: np.ndarray
    floor: float
    block: int = BLOCK

    def at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""
        return max(self.block // max(targets, 1), 1)

    def against(self, targets: np.ndarray) -> Against:
        """Return the function that compares users with these items."""
        has_vector = np.asarray(self.unit.any(axis=1))
        table, training = self.unit[targets], self.training

        def compare(users: np.ndarray, dominant: np.ndarray) -> np.ndarray:
            rows, owners = rows_of(training, users)
            items = training.items[rows]
            near = (training.domains[rows] == dominant[owners]) & has_vector[items]
            best = self._nearest(items[near], owners[near], len(users), table)
            best[:, ~has_vector[targets]] = -np.inf
            best[best < self.floor] = -np.inf
            return best

        return compare

    def _nearest(
        self, items: np.ndarray, owners: np.ndarray, count: int, table: np.ndarray
    ) -> np.ndarray:
        """Return the largest similarity of each owner's items to each row of `table`.

        A history longer than a block is taken in pieces, so that memory stays bounded.
        """
        best = np.full((count, len(table)), -np.inf, dtype=np.float32)
        step = self.at_once(len(table))
        for start in range(0, len(items), step):
            here = owners[start : start + step]
            similarities = self.unit[items[start : start + step]] @ table.T
            firsts = np.flatnonzero(np.r_[True, here[1:] != here[:-1]])
            whose = here[firsts]
            best[whose] = np.maximum(best[whose], np.maximum.reduceat(similarities, firsts, axis=0))
        return best


@dataclass(frozen=True)
class ByUsers:
    """Users in common with the user's training items, whatever their domain [ours].

    The value of an item is the sum over the user's items of ``common / sqrt(n * n')``, the
    cosine of the two items' sets of users in training rows. No table of pairs of items is ever
    held: for a few users at a time, the overlap with all other users is multiplied by what
    these have, so that memory stays linear in the number of training rows.

    Attributes
    ----------
    training : Training
        Histories, which are all that is counted.
    block : int
        Most values to hold at once.
    """

    training: Training
    block: int = BLOCK

    def at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""
        return max(self.block // max(targets, len(self.training.user_tokens), 1), 1)

    def against(self, targets: np.ndarray) -> Against:
        """Return the function that compares users with these items."""
        wanted = self._weighted[:, targets]

        def compare(users: np.ndarray, dominant: np.ndarray) -> np.ndarray:
            values = (self._overlap(users) @ wanted).toarray().astype(np.float32)
            values[values <= 0] = -np.inf
            return values

        return compare

    def pairs(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the value of one item for one user each, float32 [A]; 0 without common users."""
        step = self.at_once(1)
        parts = [
            self._overlap(users[start : start + step])
            .multiply(self._weighted[:, items[start : start + step]].T)
            .sum(axis=1)
            for start in range(0, len(users), step)
        ]
        return np.concatenate([*map(np.ravel, parts), np.zeros(0)]).astype(np.float32)

    def _overlap(self, users: np.ndarray) -> sparse.csr_array:
        return self._weighted[users] @ self._taken.T

    @cached_property
    def _taken(self) -> sparse.csr_array:
        """Whether a user has an item, [U, N]."""
        training = self.training
        shape = len(training.user_tokens), len(training.item_domains)
        cells = training.users, training.items
        taken = sparse.csr_array((np.ones(len(cells[0])), cells), shape)
        taken.sum_duplicates()
        taken.data[:] = 1
        return taken

    @cached_property
    def _weighted(self) -> sparse.csr_array:
        """The same, divided by the square root of the item's number of users."""
        counts = np.maximum(self._taken.sum(axis=0), 1)
        return (self._taken @ sparse.diags_array(counts**-0.5)).tocsr()


def rows_of(training: Training, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the training rows of some users one after the other, and the place of the user.

    Parameters
    ----------
    training : Training
        The rows.
    users : numpy.ndarray
        int64 [B].

    Returns
    -------
    numpy.ndarray
        int64 [rows of these users].
    numpy.ndarray
        int64 of the same shape, index into `users`.
    """
    sizes = training.starts[users + 1] - training.starts[users]
    owners = np.repeat(np.arange(len(users)), sizes)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return training.starts[users][owners] + within, owners


def cut(places: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield `places` in pieces of at most `size`."""
    for start in range(0, len(places), size):
        yield places[start : start + size]
