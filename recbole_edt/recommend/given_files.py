"""Files of histories and of users; what is wrong is named by its line."""

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
    user_numbers,
)
from recbole_edt.recommend.item_index import ItemIndex, as_tokens


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
    tokens, times = rows["item"].to_numpy(object), rows["time"].to_numpy(np.float64)
    return of_rows(rows["user"], tokens, times, items, dataset, file.refuse)


def _column(file: CsvFile, names: tuple[str, str]) -> str:
    found = column_of(names, file.columns)
    if found is None:
        raise UserError(
            f"{file.path}: line 1: no column '{names[0]}' (or '{names[1]}')"
            f"{nearest(names[0], file.columns)}; found {', '.join(file.columns)}"
        )
    return found


def read_user_file(path: Path, dataset: CrossDomainDataset) -> list[str]:
    """Return the users of a file: one id per line, a first line ``user`` or ``user_id`` aside.

    Raises
    ------
    UserError
        For a file that cannot be read, and a user who is unknown or listed twice; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})") from None
    numbered = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    if numbered and numbered[0][1] in USER:
        del numbered[0]
    if not numbered:
        raise UserError(f"{path}: holds no user; expected one id per line")
    users = [user for _, user in numbered]
    known = user_numbers(dataset, as_tokens(list(users)))
    if not known.all():
        line, user = numbered[int(known.argmin())]
        ids = dataset.field2id_token[dataset.uid_field]
        raise UserError(
            f"{path}: line {line}: user {user!r} is not in {dataset.dataset_name}.inter"
            f"{nearest(user, ids[1:])}"
        )
    first: dict[str, int] = {}
    for line, user in numbered:
        if first.setdefault(user, line) != line:
            raise UserError(f"{path}: line {line} repeats user {user!r} of line {first[user]}")
    return users
