"""Histories as callers give them, mappings, lists or tables, turned into arrays of numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.histories import Histories
from recbole_edt.errors import UserError
from recbole_edt.recommend.item_index import ItemIndex, as_tokens, object_array

GivenHistories: TypeAlias = Mapping[Any, Iterable[Any]] | Iterable[Iterable[Any]] | pd.DataFrame
"""User -> items, or a list of items per user, oldest first; or a table of user, item and time."""

Refuse = Callable[[int, str], NoReturn]
"""Raises `UserError` about a row, counted from 0."""

USER, ITEM, TIME = ("user", fields.USER), ("item", fields.ITEM), ("time", fields.TIME)
"""Names that a column of a table of histories may have."""


@dataclass(frozen=True)
class NamedHistories:
    """Histories, and what the caller calls each: a user, or its index, object [N]."""

    names: np.ndarray
    histories: Histories


def column_of(names: Sequence[str], columns: Iterable[Any]) -> str | None:
    """Return the column that has one of some names; None when there is none."""
    return next((name for name in names if name in list(columns)), None)


def read_histories(
    given: GivenHistories, items: ItemIndex, dataset: CrossDomainDataset
) -> NamedHistories:
    """Return histories as numbers.

    Parameters
    ----------
    given : mapping, list of lists, or pandas.DataFrame
        Ids as in the dataset's files; numbers are taken for their text. A table has the columns
        ``user``, ``item`` and ``time`` (or ``user_id``, ``item_id``, ``timestamp``): numbers as in
        ``NAME.inter``, or datetimes. Without times its rows are in order. Users of a list have no
        id, and are called by their index.

    Raises
    ------
    UserError
        For an unknown item, an empty history, a missing column, and a time that is none.
    """
    if isinstance(given, pd.DataFrame):
        return _of_table(given, items, dataset)
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise UserError(f"histories: found {type(given).__name__}; expected lists of item ids")
    if isinstance(given, Mapping):
        names, lists = list(given), list(given.values())
    else:
        lists = list(given)
        names = list(range(len(lists)))
    for name, one in zip(names, lists, strict=True):
        if isinstance(one, (str, bytes)) or not isinstance(one, Iterable):
            raise UserError(f"histories: {name!r} has {one!r}; expected a list of item ids")
    lists = [one if isinstance(one, Sequence) else list(one) for one in lists]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists], dtype=np.int64)])
    empty = np.flatnonzero(np.diff(starts) == 0)
    if len(empty):
        raise UserError(f"histories: {names[empty[0]]!r} has no item; expected one at least")
    tokens = as_tokens(list(chain.from_iterable(lists)))
    numbers = items.numbers(tokens)
    if not numbers.all():
        row = int(np.argmin(numbers))
        owner = names[int(np.searchsorted(starts, row, side="right")) - 1]
        raise UserError(f"histories: {owner!r}: {items.unknown(tokens[row])}")
    known = np.zeros(len(names), dtype=np.int64)
    if isinstance(given, Mapping):
        known = user_numbers(dataset, as_tokens(names))
    return NamedHistories(object_array(names), Histories(known, starts, numbers, None))


def user_numbers(dataset: CrossDomainDataset, tokens: np.ndarray) -> np.ndarray:
    """Return the number of each user id, int64 [n], 0 for those that the dataset does not know."""
    return dataset.field2token_id[dataset.uid_field].numbers(tokens).clip(min=0)


def _of_table(table: pd.DataFrame, items: ItemIndex, dataset: CrossDomainDataset) -> NamedHistories:
    def refuse(row: int, complaint: str) -> NoReturn:
        raise UserError(f"histories: row {table.index[row]}: {complaint}")

    user, item, time = (column_of(names, table.columns) for names in (USER, ITEM, TIME))
    for found, names in ((user, USER), (item, ITEM)):
        if found is None:
            raise UserError(
                f"histories: no column {names[0]!r} (or {names[1]!r}); found {list(table.columns)}"
            )
        absent = table[found].isna().to_numpy()
        if absent.any():
            refuse(int(np.argmax(absent)), f"no {found}")
    times = None if time is None else _seconds(table[time], refuse)
    return of_rows(table[user], as_tokens(table[item].tolist()), times, items, dataset, refuse)


def of_rows(
    users: pd.Series,
    tokens: np.ndarray,
    times: np.ndarray | None,
    items: ItemIndex,
    dataset: CrossDomainDataset,
    refuse: Refuse,
) -> NamedHistories:
    """Return the histories of some rows: users in the order in which they first appear.

    Parameters
    ----------
    users : pandas.Series
        User of each row, [R].
    tokens : numpy.ndarray
        Item id of each row, object [R].
    times : numpy.ndarray or None
        float64 [R]; equal times stay in the order of the rows. None: all of them do.
    items : ItemIndex
        Knows the items.
    dataset : CrossDomainDataset
        Knows the users.
    refuse : callable
        Is given the first row with an unknown item.
    """
    numbers = items.numbers(tokens)
    if not len(numbers):
        raise UserError("histories: found no row; expected one at least")
    if not numbers.all():
        row = int(np.argmin(numbers))
        refuse(row, items.unknown(tokens[row]))
    owners, names = pd.factorize(users)
    order = np.argsort(owners, kind="stable") if times is None else np.lexsort((times, owners))
    starts = np.searchsorted(owners[order], np.arange(len(names) + 1))
    known = user_numbers(dataset, as_tokens(list(names)))
    ordered = None if times is None else times[order]
    return NamedHistories(
        object_array(list(names)), Histories(known, starts, numbers[order], ordered)
    )


def _seconds(column: pd.Series, refuse: Refuse) -> np.ndarray:
    """Return times as float64: numbers as they are, datetimes as seconds since 1970 (UTC)."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        since = pd.Timestamp(0, tz=getattr(column.dtype, "tz", None))
        times = ((column - since) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    else:
        times = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(times)
    if bad.any():
        row = int(np.argmax(bad))
        refuse(row, f"{column.name} is {column.iloc[row]!r}; expected a number or a datetime")
    return times
