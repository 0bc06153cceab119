"""The transferable pool: items of a sparse domain that are near to what a user has."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.budget import Demands
from recbole_edt.artefacts.augmenter.nearness import Nearness, cut, rows_of
from recbole_edt.artefacts.task import Training


@dataclass(frozen=True)
class Pool:
    """The candidates of D demands, nearest first, equal ones in catalogue order.

    Attributes
    ----------
    items : numpy.ndarray
        int64 [P], catalogue rows.
    values : numpy.ndarray
        float32 [P], how near each one is; see `nearness`.
    starts : numpy.ndarray
        int64 [D + 1]; the candidates of demand d are ``starts[d]:starts[d + 1]``.
    """

    items: np.ndarray
    values: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Number of candidates of each demand, int64 [D]."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """Demand of each candidate, int64 [P]."""
        return np.repeat(np.arange(len(self.starts) - 1), self.sizes)

    def of(self, demand: int) -> slice:
        """Return the places of one demand's candidates."""
        return slice(int(self.starts[demand]), int(self.starts[demand + 1]))


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [N, m] scaled to length 1, float32; zeros stay zeros."""
    vectors = vectors.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def make_pool(
    training: Training, demands: Demands, allowed: np.ndarray, size: int, nearness: Nearness
) -> Pool:
    """Find the candidates of all demands.

    They are the items of the sparse domain that are near to what the user has, without those
    of the user's own history: the `size` nearest ones.

    Parameters
    ----------
    training : Training
        Histories.
    demands : Demands
        Users and their sparse domains.
    allowed : numpy.ndarray
        bool [N], the items that may be candidates.
    size : int
        Most candidates.
    nearness : Nearness
        What is near, and how near.
    """
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for domain in np.unique(demands.domains):
        targets = np.flatnonzero(allowed & (training.item_domains == domain))
        if not len(targets):
            continue
        column = np.full(len(allowed), -1)
        column[targets] = np.arange(len(targets))
        compare = nearness.against(targets)
        for places in cut(
            np.flatnonzero(demands.domains == domain), nearness.at_once(len(targets))
        ):
            values = compare(demands.users[places], demands.dominant[places])
            rows, owners = rows_of(training, demands.users[places])
            columns = column[training.items[rows]]
            values[owners[columns >= 0], columns[columns >= 0]] = -np.inf
            owner, at = _largest(values, size)
            found.append((places[owner], targets[at], values[owner, at]))
    owners, items, nearest = (
        np.concatenate([part[i] for part in found]) if found else np.zeros(0, dtype=kind)
        for i, kind in enumerate((np.int64, np.int64, np.float32))
    )
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(len(demands) + 1))
    return Pool(items[order], nearest[order], starts)


def _largest(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the `size` largest finite values of each row, largest first.

    Equal values are taken from the left, which a plain partition does not promise.
    """
    width = values.shape[1]
    size = min(size, width)
    least = np.partition(values, width - size, axis=1)[:, width - size]
    rows, columns = np.nonzero((values >= least[:, None]) & np.isfinite(values))
    order = np.lexsort((columns, -values[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < size], columns[rank < size]
