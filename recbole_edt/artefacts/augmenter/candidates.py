"""Candidate sets: the items of a sparse domain that are most related to what a user has."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.deficits import Deficits
from recbole_edt.artefacts.augmenter.retrieval import Retrieval
from recbole_edt.artefacts.training_rows import TrainingRows


@dataclass(frozen=True)
class CandidateSets:
    """The candidates of D deficits, the most related first, equal ones in catalogue order.

    Attributes
    ----------
    items : numpy.ndarray
        int64 [P], catalogue rows.
    values : numpy.ndarray
        float32 [P], how related each one is; see `retrieval`.
    starts : numpy.ndarray
        int64 [D + 1]; the candidates of deficit d are ``starts[d]:starts[d + 1]``.
    """

    items: np.ndarray
    values: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Number of candidates of each deficit, int64 [D]."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """Deficit of each candidate, int64 [P]."""
        return np.repeat(np.arange(len(self.starts) - 1), self.sizes)

    def of(self, deficit: int) -> np.ndarray:
        """Return the candidates of one deficit, catalogue rows."""
        return self.items[self.starts[deficit] : self.starts[deficit + 1]]


def find_candidates(
    training: TrainingRows,
    deficits: Deficits,
    allowed: np.ndarray,
    size: int,
    retrieval: Retrieval,
) -> CandidateSets:
    """Find the candidates of all deficits.

    They are the items of the sparse domain that are related to what the user has, without those
    of the user's own history: the `size` most related ones.

    Parameters
    ----------
    training : TrainingRows
        Histories.
    deficits : Deficits
        Users and their sparse domains.
    allowed : numpy.ndarray
        bool [N], the items that may be candidates.
    size : int
        Most candidates.
    retrieval : Retrieval
        Which items are related, and how much.
    """
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for domain in np.unique(deficits.domains):
        targets = np.flatnonzero(allowed & (training.item_domains == domain))
        if not len(targets):
            continue
        column = np.full(len(allowed), -1)
        column[targets] = np.arange(len(targets))
        relevance = retrieval.relevance_of(targets)
        of_domain = np.flatnonzero(deficits.domains == domain)
        step = retrieval.users_at_once(len(targets))
        for start in range(0, len(of_domain), step):
            block = of_domain[start : start + step]
            values = relevance(deficits.users[block], deficits.dominant[block])
            rows, owners = training.of_users(deficits.users[block])
            columns = column[training.items[rows]]
            values[owners[columns >= 0], columns[columns >= 0]] = -np.inf
            owner, largest = _largest(values, size)
            parts.append((block[owner], targets[largest], values[owner, largest]))
    owners, items, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(len(deficits) + 1))
    return CandidateSets(items[order], values[order], starts)


def _largest(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the `size` largest finite values of each row, largest first.

    Equal values are taken from the left, which a plain partition does not promise.

    Examples
    --------
    The two largest of two rows::

        values   [[.1, .5, .5, .5], [.2, -inf, -inf, -inf]]
        least    [.5, -inf]           (the second largest of each row)
        order    (0, 1) (0, 2) (0, 3) (1, 0)
        rank     0 1 2 0              (the third of row 0 is dropped)
        returned [0, 0, 1], [1, 2, 0]
    """
    width = values.shape[1]
    size = min(size, width)
    least = np.partition(values, width - size, axis=1)[:, width - size]
    rows, columns = np.nonzero((values >= least[:, None]) & np.isfinite(values))
    order = np.lexsort((columns, -values[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < size], columns[rank < size]
