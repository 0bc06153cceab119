"""Retrieval of candidates: items with titles like the user's, or with users in common."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import sparse

from recbole_edt.artefacts.training_rows import TrainingRows

BLOCK = 1 << 24
"""Most values held at once; 64 MB of float32."""

Relevance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Users and their dominant domains, int64 [B] each, to values float32 [B, T]; -inf: unrelated."""


class Retrieval(Protocol):
    """Ranks the items of a domain for a user."""

    def relevance_of(self, targets: np.ndarray) -> Relevance:
        """Return the function that compares users with these catalogue rows, int64 [T]."""

    def users_at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""


@dataclass(frozen=True)
class TitleSimilarity:
    """Cosine similarity to the nearest of the user's training items in the dominant domain.

    Attributes
    ----------
    training : TrainingRows
        Histories.
    unit : numpy.ndarray
        float32 [N, m], unit vectors; zeros for an item without text, which is like nothing.
    floor : float
        Less similar items are unrelated.
    block : int
        Most similarities to hold at once.
    """

    training: TrainingRows
    unit: np.ndarray
    floor: float
    block: int = BLOCK

    def users_at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""
        return max(self.block // max(targets, 1), 1)

    def relevance_of(self, targets: np.ndarray) -> Relevance:
        """Return the function that compares users with these items."""
        has_vector = np.asarray(self.unit.any(axis=1))
        table, training = self.unit[targets], self.training

        def compare(users: np.ndarray, dominant: np.ndarray) -> np.ndarray:
            rows, owners = training.of_users(users)
            items = training.items[rows]
            used = (training.domains[rows] == dominant[owners]) & has_vector[items]
            best = self._most_similar(items[used], owners[used], len(users), table)
            best[:, ~has_vector[targets]] = -np.inf
            best[best < self.floor] = -np.inf
            return best

        return compare

    def _most_similar(
        self, items: np.ndarray, owners: np.ndarray, count: int, table: np.ndarray
    ) -> np.ndarray:
        """Return the largest similarity of each owner's items to each row of `table`.

        Parameters
        ----------
        items, owners : numpy.ndarray
            int64 [H], items of the histories, and whose each is, not decreasing.
        count : int
            Number B of owners.
        table : numpy.ndarray
            float32 [T, m], unit vectors.

        Returns
        -------
        numpy.ndarray
            float32 [B, T]; -inf for an owner without items.

        Examples
        --------
        Three items of two owners against one row of the table, in one piece::

            owners        [0, 0, 2]
            similarities  [[.3], [.9], [.5]]
            firsts        [0, 2]         whose [0, 2]
            best          [[.9], [-inf], [.5]]

        A history longer than a block is split into pieces, so that memory stays bounded.
        """
        best = np.full((count, len(table)), -np.inf, dtype=np.float32)
        step = self.users_at_once(len(table))
        for start in range(0, len(items), step):
            part = owners[start : start + step]
            similarities = self.unit[items[start : start + step]] @ table.T
            firsts = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
            whose = part[firsts]
            best[whose] = np.maximum(best[whose], np.maximum.reduceat(similarities, firsts, axis=0))
        return best


@dataclass(frozen=True)
class Cooccurrence:
    """Users in common with the user's training items, whatever their domain [ours].

    The value of an item is the sum over the user's items of ``common / sqrt(n * n')``, the
    cosine of the two items' sets of users in training rows. No table of pairs of items is ever
    held: for a few users at a time, the overlap with all other users is multiplied by what
    these have, so that memory stays linear in the number of training rows.

    With X [U, N] telling which user has which item, n its column sums and W = X diag(n^-1/2)::

        overlap of a user with all users     W[user] @ X.T      [1, U]
        relevance of the items               overlap @ W        [1, N]
        (the sum over the user's items i of common(i, j) / sqrt(n_i * n_j), for each item j)

    Attributes
    ----------
    training : TrainingRows
        Histories, which are all that is counted.
    block : int
        Most values to hold at once.
    """

    training: TrainingRows
    block: int = BLOCK

    def users_at_once(self, targets: int) -> int:
        """Return how many users to compare with so many items at once."""
        return max(self.block // max(targets, len(self.training.user_tokens), 1), 1)

    def relevance_of(self, targets: np.ndarray) -> Relevance:
        """Return the function that compares users with these items."""
        wanted = self._weighted[:, targets]

        def compare(users: np.ndarray, dominant: np.ndarray) -> np.ndarray:
            values = (self._overlap(users) @ wanted).toarray().astype(np.float32)
            values[values <= 0] = -np.inf
            return values

        return compare

    def pairs(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the value of one item for one user each, float32 [A]; 0 without common users."""
        step = self.users_at_once(1)
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
        """X: whether a user has an item, [U, N]."""
        training = self.training
        shape = len(training.user_tokens), len(training.item_domains)
        cells = training.users, training.items
        taken = sparse.csr_array((np.ones(len(cells[0])), cells), shape)
        taken.sum_duplicates()
        taken.data[:] = 1
        return taken

    @cached_property
    def _weighted(self) -> sparse.csr_array:
        """W: the same, divided by the square root of the item's number of users."""
        counts = np.maximum(self._taken.sum(axis=0), 1)
        return (self._taken @ sparse.diags_array(counts**-0.5)).tocsr()
