"""A table of interactions, checked row by row, in the engine."""

from contextlib import suppress
from dataclasses import dataclass

import duckdb

from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.split_files import InterTable
from recbole_edt.prepare.times import TimeFormat


@dataclass(frozen=True)
class InterColumns:
    """The columns that are read of a table of interactions.

    Attributes
    ----------
    user, item : str
        Of the ids.
    order : str
        Of the times or positions.
    rating : str or None
        Of the ratings, when they are read.
    """

    user: str
    item: str
    order: str
    rating: str | None = None


def load_rows(
    file: InterTable,
    columns: InterColumns,
    times: TimeFormat,
    engine: Engine,
) -> int:
    """Read a file into table `part`: `user`, `item`, `time` and, when it is read, `rating`.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    UserError
        For no rows, an empty id, and a time or rating that cannot be read.
    """
    names = [columns.user, columns.item, columns.order]
    if columns.rating is not None:
        names.append(columns.rating)
    if times.given is not None and not isinstance(file, CsvFile):
        file.refuse_time(columns.order)
    texts = _read(file, columns, names, times, engine)
    n_rows = _check_rows(file, names, times, engine, texts)
    if complaint := times.refuse_days(engine, texts, "part", "c2"):
        _refuse(file, engine, texts, names, 2, 0, complaint)
    engine.run("DROP TABLE IF EXISTS texts")
    return n_rows


def _read(
    file: InterTable, columns: InterColumns, names: list[str], times: TimeFormat, engine: Engine
) -> str:
    """Make table `part`; return the name of what holds the texts of its rows, in their order."""
    rating = "" if columns.rating is None else ", try_cast(c3 AS DOUBLE) AS rating"

    def convert(texts: str) -> None:
        engine.run(
            "CREATE OR REPLACE TABLE part AS SELECT c0 AS user, c1 AS item, "
            f"{times.expression(engine, texts, 'c2')} AS time{rating} FROM {texts}"
        )

    if isinstance(file, CsvFile) and file.view(engine, "lines", names):
        with suppress(duckdb.Error):  # the exact reader says what is wrong, or forgives it
            convert("lines")
            return "lines"
    file.load(engine, "texts", names, time=columns.order, number=columns.rating)
    convert("texts")
    return "texts"


def append_part(engine: Engine, first: bool, user_prefix: str = "", item_prefix: str = "") -> None:
    """Move table `part` to the end of table `raw`, with prefixes before the ids."""
    ids = ((user_prefix, "user"), (item_prefix, "item"))
    changed = [f"{literal(text)} || {name} AS {name}" for text, name in ids if text]
    rows = f"SELECT * REPLACE ({', '.join(changed)}) FROM part" if changed else "SELECT * FROM part"
    if first and not changed:
        engine.run("DROP TABLE IF EXISTS raw")
        engine.run("ALTER TABLE part RENAME TO raw")
        return
    engine.run(f"CREATE OR REPLACE TABLE raw AS {rows}" if first else f"INSERT INTO raw {rows}")
    engine.run("DROP TABLE part")


def _check_rows(
    file: InterTable, names: list[str], times: TimeFormat, engine: Engine, texts: str
) -> int:
    """Refuse the first row of `part` that breaks a rule; return the number of its rows."""
    checks = [
        (0, "coalesce(user, '') = ''"),
        (1, "coalesce(item, '') = ''"),
        (2, "time IS NULL OR NOT isfinite(time)"),
        (2, times.late("time")),
    ]
    if len(names) > 3:
        checks.append((3, "rating IS NULL OR NOT isfinite(rating)"))
    counted = ", ".join(f"count(*) FILTER ({bad}), min(rowid) FILTER ({bad})" for _, bad in checks)
    n_rows, *counts = engine.row(f"SELECT count(*), {counted} FROM part")
    if not n_rows:
        raise UserError(f"{file.path}: holds no interactions, only a header")
    for number, (column, bad) in enumerate(checks):
        rows, first = counts[2 * number : 2 * number + 2]
        if rows and column < 2:
            file.refuse(first, f"no '{names[column]}' ({rows} such rows so far)")
        if rows:
            complaint = "expected a number"
            if column == 2:
                text = _text(engine, texts, 2, first)
                late = bad == times.late("time")
                complaint = times.complaint_of_late(engine, text) if late else times.expected
            complaint = f"{complaint} ({rows} such rows so far)"
            _refuse(file, engine, texts, names, column, first, complaint)
    return int(n_rows)


def _refuse(
    file: InterTable,
    engine: Engine,
    texts: str,
    names: list[str],
    column: int,
    row: int,
    complaint: str,
) -> None:
    text = _text(engine, texts, column, row)
    file.refuse(row, f"{names[column]} is '{text}'; {complaint}")


def _text(engine: Engine, texts: str, column: int, row: int) -> str:
    return str(engine.row(f"SELECT coalesce(c{column}, '') FROM {texts} LIMIT 1 OFFSET {row}")[0])
