"""The training interactions in the numbering of the catalogue, and nothing of any other row."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.data.split import TRAIN, Split
from recbole_edt.errors import UserError, one_line

_KINDS = {fields.USER: "token", fields.ITEM: "token", fields.TIME: "float"}
_COLUMNS = {f"{field}:{kind}": field for field, kind in _KINDS.items()}


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
        sizes = self.starts[users + 1] - self.starts[users]
        owners = np.repeat(np.arange(len(users)), sizes)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.starts[users][owners] + within, owners

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
    frame = _read_interactions(path)
    if len(frame) != len(split.codes):
        raise UserError(f"{path}: has {len(frame)} rows, the split of it {len(split.codes)}")
    frame = frame[split.codes == TRAIN]
    items = pd.Index(catalogue.ids, dtype=object).get_indexer(frame[fields.ITEM])
    unknown = np.flatnonzero(items < 0)
    if len(unknown):
        raise UserError(
            f"{path}: line {frame.index[unknown[0]] + 2}: item "
            f"{frame[fields.ITEM].iloc[unknown[0]]!r} is not in {catalogue.path.name}"
        )
    column = catalogue.column(domain_field)
    if "" in column:
        item = catalogue.ids[column.index("")]
        raise UserError(f"{catalogue.path}: item {item!r} has no domain")
    domain_names, item_domains = np.unique(np.asarray(column, dtype=object), return_inverse=True)
    users, user_tokens = pd.factorize(frame[fields.USER])
    times = frame[fields.TIME].to_numpy()
    order = np.lexsort((times, users))
    users, items = users[order].astype(np.int64), items[order].astype(np.int64)
    return TrainingRows(
        users=users,
        items=items,
        times=times[order],
        domains=item_domains[items],
        starts=np.searchsorted(users, np.arange(len(user_tokens) + 1)),
        user_tokens=user_tokens.tolist(),
        domain_names=domain_names.tolist(),
        item_domains=item_domains.astype(np.int64),
    )


def _read_interactions(path: Path) -> pd.DataFrame:
    """Read user, item and time of every row; tokens literally, times as float64."""
    try:
        frame = pd.read_csv(
            path,
            sep="\t",
            usecols=list(_COLUMNS),
            dtype={
                name: np.float64 if field == fields.TIME else str
                for name, field in _COLUMNS.items()
            },
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8",
        )
    except (ValueError, pd.errors.ParserError) as error:
        reason = one_line(error)
        raise UserError(f"{path}: expected the columns {list(_COLUMNS)} ({reason})") from None
    return frame.rename(columns=_COLUMNS)
