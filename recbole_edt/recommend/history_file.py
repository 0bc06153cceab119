"""A CSV file of histories: user, item, time; what is wrong is named by its line."""

import tempfile
from pathlib import Path

import numpy as np

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.inter_table import InterColumns, load_rows
from recbole_edt.prepare.times import TimeFormat
from recbole_edt.recommend.given_histories import (
    ITEM,
    TIME,
    USER,
    NamedHistories,
    column_of,
    of_rows,
)
from recbole_edt.recommend.item_index import ItemIndex


def read_history_file(
    path: Path, items: ItemIndex, dataset: CrossDomainDataset, time_format: str | None = None
) -> NamedHistories:
    """Return the histories of a file, users in the order in which it first names them.

    Parameters
    ----------
    path : pathlib.Path
        CSV, plain or gzipped, with the columns ``user``, ``item`` and ``time`` (or ``user_id``,
        ``item_id``, ``timestamp``); others are not read.
    items : ItemIndex
        Knows the items.
    dataset : CrossDomainDataset
        Knows the users.
    time_format : str, optional
        As ``prepare csv --time_format``; numbers as they are, or ISO dates, by default.

    Raises
    ------
    UserError
        For a missing column, an empty id, a time that cannot be read and an unknown item.
    """
    file = CsvFile(path, ",")
    columns = InterColumns(*(_column(file, names) for names in (USER, ITEM, TIME)))
    with Engine(Path(tempfile.gettempdir())) as engine:
        load_rows(file, columns, TimeFormat(time_format), engine)
        rows = engine.frame("SELECT user, item, time FROM part ORDER BY rowid")
    tokens = rows["item"].to_numpy(object)
    times = rows["time"].to_numpy(np.float64)
    return of_rows(rows["user"], tokens, times, items, dataset, file.refuse)


def _column(file: CsvFile, names: tuple[str, str]) -> str:
    found = column_of(names, file.columns)
    if found is None:
        raise UserError(
            f"{file.path}: line 1: no column '{names[0]}' (or '{names[1]}')"
            f"{nearest(names[0], file.columns)}; found {', '.join(file.columns)}"
        )
    return found
