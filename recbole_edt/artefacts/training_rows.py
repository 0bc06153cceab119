"""The training interactions in the numbering of the catalogue, and nothing of any other row."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.data.indexing import ranges
from recbole_edt.data.split import TRAIN, Split
from recbole_edt.data.store import Interactions, open_interactions
from recbole_edt.errors import UserError


@dataclass(frozen=True)
class TrainingRows:
    """The rows that may be learnt from.

    R rows of U users, sorted by user and time, equal times in file order; N items of the
    catalogue and K domains.

    Attributes
    ----------
    users : numpy.ndarray
        int64 [R], index into `user_tokens`, not decreasing.
    items : numpy.ndarray
        int64 [R], row of the catalogue.
    times : numpy.ndarray
        float64 [R].
    domains : numpy.ndarray
        int64 [R], index into `domain_names`.
    starts : numpy.ndarray
        int64 [U + 1]; the rows of user u are ``starts[u]:starts[u + 1]``.
    user_tokens : list of str
        Users with a training row, in the order in which the file names them.
    domain_names : list of str
        All domains of the catalogue in alphabetical order.
    item_domains : numpy.ndarray
        int64 [N], domain of each catalogue row.

    Examples
    --------
    Two users, zoe with items 0 and 2, ann with item 1; item 2 is of domain b::

        users   [0, 0, 1]      items  [0, 2, 1]
        domains [0, 1, 0]      starts [0, 2, 3]
        user_tokens  ["zoe", "ann"]
        domain_names ["a", "b"]
        item_domains [0, 0, 1]
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    domains: np.ndarray
    starts: np.ndarray
    user_tokens: list[str]
    domain_names: list[str]
    item_domains: np.ndarray

    def of_user(self, user: int) -> slice:
        """Return the rows of one user."""
        return slice(int(self.starts[user]), int(self.starts[user + 1]))

    def of_users(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of some users one after the other, and whose each row is.

        Parameters
        ----------
        users : numpy.ndarray
            int64 [B].

        Returns
        -------
        numpy.ndarray
            int64 [rows of these users].
        numpy.ndarray
            int64 of the same shape, index into `users`.

        Examples
        --------
        With ``starts = [0, 2, 3, 7]``, users 0 to 2 have two, one and four rows::

            sizes of users [2, 0]      [4, 2]
            owners                     [0, 0, 0, 0, 1, 1]
            within the user            [0, 1, 2, 3, 0, 1]
            rows                       [3, 4, 5, 6, 0, 1]
        """
        starts = self.starts[users]
        owners, rows = ranges(starts, self.starts[users + 1] - starts)
        return rows, owners

    def count_by_domain(self) -> np.ndarray:
        """Return the rows of each user in each domain, int64 [U, K]."""
        shape = len(self.user_tokens), len(self.domain_names)
        flat = self.users * shape[1] + self.domains
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def read_training_rows(
    path: Path, split: Split, catalogue: Catalogue, domain_field: str
) -> TrainingRows:
    """Read the training rows of an interaction file.

    Parameters
    ----------
    path : pathlib.Path
        ``NAME.inter``.
    split : Split
        Which of its rows are trained on.
    catalogue : Catalogue
        The items.
    domain_field : str
        Column of the catalogue with an item's domain.

    Raises
    ------
    UserError
        When the file is malformed, is not that of the split, or names an item that the
        catalogue lacks; when an item has no domain.
    """
    store = open_interactions(path.parent, path.stem)
    if len(store) != len(split.codes):
        raise UserError(f"{path}: has {len(store)} rows, the split of it {len(split.codes)}")
    rows = np.flatnonzero(store.from_file_order(split.codes) == TRAIN)
    row_of_item = _catalogue_rows(store.item_vocabulary.numbers(catalogue.ids), store)
    unknown = rows[row_of_item[store.items[rows]] < 0]
    if len(unknown):
        line = store.lines(unknown).min()
        first = unknown[store.lines(unknown) == line][0]
        item = store.item_vocabulary.tokens([store.items[first] - 1])[0]
        raise UserError(f"{path}: line {line}: item {item!r} is not in {catalogue.path.name}")
    column = catalogue.column(domain_field)
    if "" in column:
        item = catalogue.ids[column.index("")]
        raise UserError(f"{catalogue.path}: item {item!r} has no domain")
    domain_names, item_domains = np.unique(np.asarray(column, dtype=object), return_inverse=True)
    rows, starts, numbers = _by_first_training_row(rows, store)
    items = row_of_item[store.items[rows]]
    return TrainingRows(
        users=np.repeat(np.arange(len(numbers)), np.diff(starts)),
        items=items,
        times=store.times[rows],
        domains=item_domains[items],
        starts=starts,
        user_tokens=store.user_vocabulary.tokens((numbers - 1).tolist()),
        domain_names=domain_names.tolist(),
        item_domains=item_domains.astype(np.int64),
    )


def _catalogue_rows(numbers: np.ndarray, store: Interactions) -> np.ndarray:
    """Return the catalogue row of each item number of the store, int64, -1 where there is none."""
    rows = np.full(len(store.item_vocabulary) + 1, -1)
    rows[numbers] = np.arange(len(numbers))
    rows[0] = -1  # items without interactions
    return rows


def _by_first_training_row(
    rows: np.ndarray, store: Interactions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order training rows by their users' first training row in the file.

    Parameters
    ----------
    rows : numpy.ndarray
        Training rows of the store, rising, int64 [R].
    store : Interactions
        Their interactions.

    Returns
    -------
    rows, starts, numbers : numpy.ndarray
        The rows in the new order, int64 [R], where each user's begin, int64 [U + 1], and the
        users' numbers in the store, [U].
    """
    owners = store.users[rows]
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]]) if len(rows) else rows
    numbers, sizes = owners[starts], np.diff(np.r_[starts, len(rows)])
    if store.file_rows is not None and len(rows):
        order = np.argsort(np.minimum.reduceat(store.file_rows[rows], starts), kind="stable")
        _, index = ranges(starts[order], sizes[order])
        rows, numbers, sizes = rows[index], numbers[order], sizes[order]
    return rows, np.r_[0, np.cumsum(sizes)], numbers
