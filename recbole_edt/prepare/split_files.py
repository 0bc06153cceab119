"""Interactions that are split already: three tables, read as one that knows its parts."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from recbole_edt.data.split import rows_after_later_parts
from recbole_edt.errors import UserError
from recbole_edt.prepare.csv_file import CsvFile
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.parquet_file import ParquetFile

Table = CsvFile | ParquetFile
PARTS = ("train", "valid", "test")
"""Their numbers are the codes of `recbole_edt.data.split`."""


class SplitFiles:
    """The tables of training, validation and test, in this order, one after another.

    Parameters
    ----------
    tables : sequence of CsvFile or ParquetFile
        One per part.

    Attributes
    ----------
    columns : list of str
        Those that all three have.
    path : pathlib.Path
        Of the first one.
    counts : list of int
        Rows of each, known after `load`.
    """

    def __init__(self, tables: Sequence[Table]):
        self._tables = tables
        self.path = tables[0].path
        others = [set(table.columns) for table in tables[1:]]
        self.columns = [c for c in tables[0].columns if all(c in other for other in others)]
        self.counts: list[int] = []

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [file for table in self._tables for file in table.files]

    def require(self, needed: Iterable[tuple[str, str]]) -> None:
        """Refuse tables without some columns, each given after the flag that names it."""
        columns = list(needed)
        for table in self._tables:
            table.require(columns)

    def refuse_time(self, column: str) -> None:
        """See `ParquetFile.refuse_time`."""
        for table in self._tables:
            if isinstance(table, ParquetFile):
                table.refuse_time(column)

    def load(
        self,
        engine: Engine,
        table: str,
        columns: Sequence[str],
        time: str | None = None,
        number: str | None = None,
    ) -> None:
        """Read some columns of all tables into a new one, in the order of the parts.

        Raises
        ------
        UserError
            For what a single table refuses, and a table without rows.
        """
        self.counts = []
        for index, one in enumerate(self._tables):
            part = table if index == 0 else f"{table}_of_part"
            one.load(engine, part, columns, time=time, number=number)
            self.counts.append(int(engine.row(f"SELECT count(*) FROM {part}")[0]))
            if not self.counts[-1]:
                raise UserError(f"{one.path}: holds no interactions; expected some {PARTS[index]}")
            if index:
                engine.run(f"INSERT INTO {table} SELECT * FROM {part}")
                engine.run(f"DROP TABLE {part}")

    def refuse(self, row: int, complaint: str) -> NoReturn:
        """Raise `UserError` about a row of all, counted from 0."""
        table, row = self._at(row)
        table.refuse(row, complaint)

    def cell(self, row: int, column: str) -> str:
        """Return one cell of a row of all, counted from 0."""
        table, row = self._at(row)
        return table.cell(row, column)

    def _at(self, row: int) -> tuple[Table, int]:
        for table, count in zip(self._tables, self.counts, strict=True):
            if row < count:
                return table, row
            row -= count
        raise AssertionError("the row was read before")


InterTable = CsvFile | ParquetFile | SplitFiles
"""A table of interactions."""


def part_of_row(ends: Sequence[tuple[int, int]], rows: np.ndarray) -> np.ndarray:
    """Return the split code of rows in reading order, uint8, same shape.

    Parameters
    ----------
    ends : sequence of tuple
        Row after the last one, and code, of each stretch of rows of one part.
    rows : numpy.ndarray
        Numbers of rows.

    Examples
    --------
    Three rows of training, one of validation and one of test:

    >>> part_of_row([(3, 0), (4, 1), (5, 2)], np.array([4, 0, 3])).tolist()
    [2, 0, 1]
    """
    limits, codes = (np.array(column) for column in zip(*ends, strict=True))
    found: np.ndarray = codes.astype(np.uint8)[np.searchsorted(limits, rows, side="right")]
    return found


def given_split(engine: Engine, ends: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the code of each row of table `sorted`, which has `row`: uint8, in its order.

    Raises
    ------
    UserError
        When a user's training row is later than a held-out one, or a validation row later than
        a test row: a model would read in histories what it is asked for.
    """
    found = engine.arrays("SELECT user, row FROM sorted ORDER BY rowid")
    users, codes = np.asarray(found["user"]), part_of_row(ends, np.asarray(found["row"]))
    early = rows_after_later_parts(users, codes)
    if early.any():
        user = users[int(np.argmax(early))]
        name = engine.row(f"SELECT id FROM users WHERE code = {user}")[0]
        raise UserError(
            f"split: user '{name}' has {PARTS[codes[int(np.argmax(early))]]} rows after rows of a "
            f"later part in time, as have {len(np.unique(users[early])) - 1} other users; "
            "expected train, valid, test in the order of time"
        )
    return codes
