"""The transferable pool: items of a sparse domain that lie near a user's other items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.budget import Demands
from recbole_edt.artefacts.task import Training

_BLOCK = 1 << 24
"""Most similarities held at once; 64 MB of float32."""


@dataclass(frozen=True)
class Pool:
    """The candidates of D demands, most similar first, equal ones in catalogue order.

    Attributes
    ----------
    items : numpy.ndarray
        int64 [P], catalogue rows.
    similarities : numpy.ndarray
        float32 [P], cosine to the nearest dominant-domain item of the user.
    starts : numpy.ndarray
        int64 [D + 1]; the candidates of demand d are ``starts[d]:starts[d + 1]``.
    """

    items: np.ndarray
    similarities: np.ndarray
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


def make_pool(
    training: Training,
    demands: Demands,
    unit: np.ndarray,
    allowed: np.ndarray,
    size: int,
    floor: float,
    block: int = _BLOCK,
) -> Pool:
    """Find the candidates of all demands.

    They are the items of the sparse domain whose cosine similarity to the nearest of the
    user's training items in the dominant domain is at least `floor`, without those of the
    user's own history: the `size` most similar ones.

    Parameters
    ----------
    training : Training
        Histories.
    demands : Demands
        Users and their sparse domains.
    unit : numpy.ndarray
        float32 [N, m], unit vectors; zeros for an item without text, which is near nothing.
    allowed : numpy.ndarray
        bool [N], the items that may be candidates.
    size, floor : int, float
        Most candidates, least similarity.
    block : int
        Most similarities to hold at once.
    """
    has_vector = np.asarray(unit.any(axis=1))
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for domain in np.unique(demands.domains):
        targets = np.flatnonzero(allowed & has_vector & (training.item_domains == domain))
        if not len(targets):
            continue
        column = np.full(len(unit), -1)
        column[targets] = np.arange(len(targets))
        table = unit[targets]
        for places in _cut(np.flatnonzero(demands.domains == domain), block // len(targets)):
            rows, owners = rows_of(training, demands.users[places])
            items = training.items[rows]
            dominant = training.domains[rows] == demands.dominant[places][owners]
            near = np.flatnonzero(dominant & has_vector[items])
            best = _nearest(unit, items[near], owners[near], len(places), table, block)
            known = column[items] >= 0
            best[owners[known], column[items[known]]] = -np.inf
            best[best < floor] = -np.inf
            owner, at = _largest(best, size)
            found.append((places[owner], targets[at], best[owner, at]))
    owners, items, similarities = (
        np.concatenate([part[i] for part in found]) if found else np.zeros(0, dtype=kind)
        for i, kind in enumerate((np.int64, np.int64, np.float32))
    )
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(len(demands) + 1))
    return Pool(items[order], similarities[order], starts)


def _cut(places: np.ndarray, size: int) -> Iterator[np.ndarray]:
    size = max(size, 1)
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _nearest(
    unit: np.ndarray,
    items: np.ndarray,
    owners: np.ndarray,
    count: int,
    table: np.ndarray,
    block: int,
) -> np.ndarray:
    """Return the largest similarity of each owner's items to each row of `table`.

    A history longer than a block is taken in pieces, so that memory stays bounded.
    """
    best = np.full((count, len(table)), -np.inf, dtype=np.float32)
    step = max(block // len(table), 1)
    for start in range(0, len(items), step):
        here = owners[start : start + step]
        similarities = unit[items[start : start + step]] @ table.T
        firsts = np.flatnonzero(np.r_[True, here[1:] != here[:-1]])
        whose = here[firsts]
        best[whose] = np.maximum(best[whose], np.maximum.reduceat(similarities, firsts, axis=0))
    return best


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
