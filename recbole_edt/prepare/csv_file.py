"""A raw table as .csv or .csv.gz: its header, and errors that name a line of the file."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pandas as pd

from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.source import open_source


class CsvFile:
    """One file with a header, read as text.

    Parameters
    ----------
    path : pathlib.Path
        Plain or gzipped.
    separator : str
        One character.

    Attributes
    ----------
    columns : list of str
        Names in the header.

    Raises
    ------
    UserError
        For a missing or empty file, and a first row with more fields than the header.
    """

    def __init__(self, path: Path, separator: str):
        self.path, self.separator = path, separator
        with open_source(path) as stream:
            records = filter(None, self._records(stream))
            columns: list[str] | None = next(records, None)
            if columns is None:
                raise UserError(f"{path}: the file is empty")
            # pandas, when it reads all columns, refuses a row longer than the first one,
            # but takes a longer first row as a sign of an index column
            first: list[str] = next(records, [])
        self.columns = columns
        if len(first) > len(columns):
            raise UserError(
                f"{path}: line {self._line(0)}: {len(first)} fields; "
                f"expected {len(columns)} as in the header"
            )

    def require(self, needed: Iterable[tuple[str, str]]) -> None:
        """Refuse a header without some columns, each given after the flag that names it."""
        columns = self.columns
        missing = [(flag, name) for flag, name in needed if name not in columns]
        if not missing:
            return
        other = next((one for one in ";\t|" if len(columns) == 1 and one in columns[0]), None)
        if other is not None:
            sep = "tab" if other == "\t" else f"'{other}'"
            raise UserError(f"{self.path}: one column, {columns[0]!r}; --sep={sep} would make more")
        raise UserError(
            f"{self.path}: no column "
            + ", ".join(f"'{name}'{nearest(name, columns)}" for _, name in missing)
            + f"; found {', '.join(columns)}; "
            + ", ".join(f"--{flag}=NAME" for flag in dict(missing))
            + (" names another" if len(missing) == 1 else " name others")
        )

    def read(self, stream: BinaryIO, chunk_rows: int | None = None) -> Any:
        """Return the table of an opened file as texts, or with `chunk_rows` its chunks."""
        return pd.read_csv(
            stream,
            sep=self.separator,
            dtype=str,
            na_filter=False,
            chunksize=chunk_rows,
            encoding="utf-8",
        )

    def refuse(self, row: int, complaint: str) -> NoReturn:
        """Raise `UserError` about a data row, counted from 0."""
        raise UserError(f"{self.path}: line {self._line(row)}: {complaint}")

    def refuse_any(self, bad: pd.Series, complaint: str, start: int = 0) -> None:
        """Refuse the first bad row, if any.

        Parameters
        ----------
        bad : pandas.Series
            bool, one value per row.
        complaint : str
            What is wrong with it.
        start : int
            Number of the data row that `bad` starts with.
        """
        if bad.any():
            first = start + int(np.argmax(bad.to_numpy()))
            self.refuse(first, f"{complaint} ({bad.sum()} such rows so far)")

    def refuse_swallowed_rows(self, texts: pd.Series) -> None:
        """Refuse a text that contains a row: an open quote takes in the lines after it."""
        swallows = texts.str.contains("[\r\n]")
        swallows[swallows] = [
            any(line.count(self.separator) >= len(self.columns) - 1
                for line in text.splitlines()[1:])
            for text in texts[swallows]
        ]  # fmt: skip
        complaint = f"{texts.name} goes on with a whole row; expected the end of the quote"
        self.refuse_any(swallows, complaint)

    def _line(self, row: int) -> int:
        """Return the line on which a data row, counted from 0, starts."""
        with open_source(self.path) as stream:
            records, before = self._records(stream), 0
            for number, _ in enumerate(filter(None, records), start=-1):
                if number == row:
                    return before + 1
                before = records.line_num
        raise AssertionError("the row was read before")

    def _records(self, stream: BinaryIO) -> Any:
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        return csv.reader(text, delimiter=self.separator)
