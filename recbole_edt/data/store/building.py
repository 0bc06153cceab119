"""Building a store: DuckDB reads, numbers and sorts ``NAME.inter`` out of core."""

import glob
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_edt import fields
from recbole_edt.data.atomic_file import check_header, check_rows, columns_of, normal_line_ends
from recbole_edt.data.store.columns import new_file, write_column, write_header
from recbole_edt.data.store.interactions import MANIFEST, SCHEMA
from recbole_edt.data.store.vocabulary import PADDING, write_vocabulary
from recbole_edt.errors import UserError
from recbole_edt.files import write_json

if TYPE_CHECKING:
    import duckdb

COLUMNS = (fields.USER, fields.ITEM, fields.TIME)
"""The columns of ``NAME.inter`` that every model reads."""

_MEMORY = "2GB"  # beyond it DuckDB uses the disk
_VECTORS = 128  # of 2,048 rows each: what is taken from DuckDB at a time


@dataclass(frozen=True)
class NumberedTokens:
    """The distinct tokens of a column, numbered from 1 as the file first names them.

    Attributes
    ----------
    count : int
        How many they are.
    pieces : iterable of iterable of str
        All of them in the order of their numbers.
    ascending : numpy.ndarray
        Their indices (numbers less 1) in the order of their bytes, [count].
    """

    count: int
    pieces: Iterable[Iterable[str]]
    ascending: np.ndarray


def write_store(path: Path, sha256: str, folder: Path) -> None:
    """Write the store of an interaction file to an empty folder.

    Parameters
    ----------
    path : pathlib.Path
        ``NAME.inter``.
    sha256 : str
        Its digest.
    folder : pathlib.Path
        Where to; holds a scratch folder while this runs.

    Raises
    ------
    UserError
        Naming the file and the line or column that is wrong.
    OSError
        When a file cannot be written.
    """
    import duckdb

    check_header(path, COLUMNS)
    lines = check_rows(path, COLUMNS.__contains__)
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        with duckdb.connect(":memory:") as database:
            for key, value in (("temp_directory", scratch), ("memory_limit", _MEMORY)):
                database.execute(f"SET {key} = '{str(value).replace(chr(39), chr(39) * 2)}'")
            database.execute("SET enable_progress_bar = false")
            _read(database, path, scratch, lines)
            _write(database, folder, sha256)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            raise OSError(f"{reason} ({scratch})") from None
        raise UserError(f"{path}: cannot be read ({reason})") from None
    for left in scratch.iterdir():
        left.unlink()
    scratch.rmdir()


def _read(database: "duckdb.DuckDBPyConnection", path: Path, scratch: Path, lines: int) -> None:
    """Read the three columns; refuse missing cells and times that are no numbers."""
    names = [name for name, _ in columns_of(path)]
    source = normal_line_ends(path, scratch)
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(names)))
    user, item, time = (f"c{names.index(name)}" for name in COLUMNS)
    # A bare TRY_CAST is moved into DuckDB's reader, where it fails on text. An underscore between
    # digits is part of a number for DuckDB and Python, not for RecBole.
    number = f"CASE WHEN NOT contains({time}, '_') THEN TRY_CAST({time} AS DOUBLE) END"
    database.execute(
        f"""
        CREATE TABLE inter AS
        SELECT {user} AS u, {item} AS i, {number} AS t
        FROM read_csv(?, header = false, skip = 1, delim = '\t', quote = '', escape = '',
                      comment = '', new_line = '\\n', auto_detect = false,
                      columns = {{{columns}}})
        """,
        [glob.escape(str(source))],
    )
    count, first = _one(
        database,
        f"""
        SELECT count(*), min(rowid) FILTER (
            u IS NULL OR i IS NULL OR t IS NULL OR isnan(t) OR '{PADDING}' IN (u, i))
        FROM inter
        """,
    )
    if first is not None:
        raise UserError(_why_refused(path, int(first) + 2))
    if count != lines:
        raise UserError(f"{path}: {count} rows read from {lines} lines; expected one per line")


def _why_refused(path: Path, number: int) -> str:
    """Return the message for a line with a missing or impossible cell."""
    names = [name for name, _ in columns_of(path)]
    with open(path, encoding="utf-8", newline="\n") as handle:
        line = next(text for count, text in enumerate(handle, 1) if count == number)
    cells = dict(zip(names, line.rstrip("\r\n").split("\t"), strict=True))
    where = f"{path}: line {number}"
    if not (cells[fields.USER] and cells[fields.TIME]):
        return f"{where} lacks a user or a timestamp"
    if not cells[fields.ITEM]:
        return f"{where} lacks an item"
    for name in (fields.USER, fields.ITEM):
        if cells[name] == PADDING:
            return f"{where}: {name} is {PADDING!r}, which RecBole uses for padding; rename it"
    return f"{where}: {fields.TIME} is {cells[fields.TIME]!r}; expected a number"


def _write(database: "duckdb.DuckDBPyConnection", folder: Path, sha256: str) -> None:
    """Write all columns: users and items numbered by first appearance, rows sorted."""
    tokens = {}
    for table, column in (("users", "u"), ("items", "i")):
        database.execute(
            f"""
            CREATE TABLE {table} AS
            SELECT token, rows, row_number() OVER (ORDER BY first)::INTEGER AS number
            FROM (SELECT {column} AS token, min(rowid) AS first, count(*) AS rows
                  FROM inter GROUP BY {column})
            """
        )
        (count,) = _one(database, f"SELECT count(*) FROM {table}")
        ascending = _all(database, f"SELECT number - 1 AS x FROM {table} ORDER BY token", count)
        pieces = _chunks(database, f"SELECT token FROM {table} ORDER BY number")
        texts = (piece["token"] for piece in pieces)
        tokens[table] = NumberedTokens(count, texts, ascending)
    count = tokens["users"].count
    per_user = _all(database, "SELECT rows AS x FROM users ORDER BY number", count)
    rows = _chunks(
        database,
        """
        SELECT users.number AS users, items.number AS items, t AS times, inter.rowid AS file_rows
        FROM inter JOIN users ON u = users.token JOIN items ON i = items.token
        ORDER BY users.number, t, inter.rowid
        """,
    )
    write_columns(folder, sha256, tokens["users"], tokens["items"], per_user, rows)


def write_columns(
    folder: Path,
    sha256: str,
    users: NumberedTokens,
    items: NumberedTokens,
    per_user: np.ndarray,
    pieces: Iterable[dict[str, np.ndarray]],
    in_order: bool = False,
) -> None:
    """Write all columns of a store, the manifest last.

    Parameters
    ----------
    folder : pathlib.Path
        Where to.
    sha256 : str
        Digest of the interaction file.
    users, items : NumberedTokens
        Their tokens; one after the other is read to its end.
    per_user : numpy.ndarray
        Rows of each user, [users].
    pieces : iterable of dict
        The rows by user and time, piece by piece: `users` and `items` (numbers), `times` and
        `file_rows` (row of the file, from 0).
    in_order : bool
        Whether the file is known to have the rows in this order; `file_rows` is not read then.
    """
    counts: dict[str, Any] = {}
    for name, tokens in (("users", users), ("items", items)):
        stem = folder / f"{name[:-1]}_tokens"
        size = write_vocabulary(stem, tokens.count, tokens.pieces, tokens.ascending)
        counts[name] = {"count": tokens.count, "bytes": size}
    write_column(folder / "starts.npy", np.r_[0, 0, np.cumsum(per_user)].astype(np.int64))
    rows = int(per_user.sum())
    is_sorted = _write_rows(folder, rows, pieces, in_order)
    manifest = {"schema": SCHEMA, "inter_sha256": sha256, "rows": rows, "is_sorted": is_sorted}
    write_json(folder / MANIFEST, manifest | counts)


def _write_rows(
    folder: Path, rows: int, pieces: Iterable[dict[str, np.ndarray]], in_order: bool
) -> bool:
    """Write users, items, times and file rows; return whether the file was in this order."""
    dtypes: dict[str, type] = {"users": np.int32, "items": np.int32, "times": np.float64}
    if not in_order:
        dtypes["file_rows"] = np.int64
    done, is_sorted = 0, True
    with ExitStack() as stack:
        files = {name: stack.enter_context(new_file(folder / f"{name}.npy")) for name in dtypes}
        for name, file in files.items():
            write_header(file, np.dtype(dtypes[name]), rows)
        for piece in pieces:
            for name, file in files.items():
                file.write(np.ascontiguousarray(piece[name], dtype=dtypes[name]).data)
            count = len(piece["users"])
            if not in_order:
                is_sorted &= bool((piece["file_rows"] == np.arange(done, done + count)).all())
            done += count
    if done != rows:
        raise RuntimeError(f"{done} rows came out of {rows}")
    if is_sorted and not in_order:
        (folder / "file_rows.npy").unlink()
    return is_sorted


def _one(database: "duckdb.DuckDBPyConnection", query: str) -> tuple[Any, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return row


def _all(database: "duckdb.DuckDBPyConnection", query: str, count: int) -> np.ndarray:
    """Return the column ``x`` of a query, int64 [count]."""
    pieces = [piece["x"] for piece in _chunks(database, query)]
    result = np.concatenate(pieces or [np.empty(0)]).astype(np.int64)
    assert len(result) == count
    return result


def _chunks(database: "duckdb.DuckDBPyConnection", query: str) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of a query, a bounded number of rows at a time."""
    result = database.execute(query)
    while len(frame := result.fetch_df_chunk(_VECTORS)):
        yield {name: frame[name].to_numpy() for name in frame}
