"""A raw table as .csv or .csv.gz: its header, and errors that name a line of the file."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import duckdb
import pandas as pd

from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.csv_scan import is_plain
from recbole_edt.prepare.engine import Engine, literal
from recbole_edt.prepare.source import is_gzipped, open_source

_CHUNK_ROWS = 500_000


class CsvFile:
    """One file with a header, read as text.

    Parameters
    ----------
    path : pathlib.Path
        Plain or gzipped.
    separator : str
        One character.
    quoted : bool
        Whether a cell may be in quotation marks; otherwise they are characters like others.

    Attributes
    ----------
    columns : list of str
        Names in the header.

    Raises
    ------
    UserError
        For a missing or empty file, and a first row with more fields than the header.
    """

    UNQUOTED = "; --quotes=none reads quotes as any other character"
    """The way out of a cell whose quotes are text, for messages."""

    def __init__(self, path: Path, separator: str, quoted: bool = True):
        self.path, self.separator, self.quoted = path, separator, quoted
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

    @property
    def files(self) -> list[Path]:
        """The file, as a list."""
        return [self.path]

    def load(
        self,
        engine: Engine,
        table: str,
        columns: Sequence[str],
        time: str | None = None,
        number: str | None = None,
    ) -> None:
        """Read some columns as texts into a new table of the engine, in the order of the file.

        The columns are called `c0`, `c1`, ...; an empty or missing cell is an empty text. What
        DuckDB refuses or reads otherwise than Python's csv module goes to pandas, whose reader
        names the line of what is wrong and forgives what can be forgiven.

        Raises
        ------
        UserError
            For bytes that are no UTF-8, a row with more fields than the header, and a quote
            that is never closed or takes in the next row.
        """
        if not self._load_fast(engine, f"TABLE {table}", columns, "coalesce({}, '')"):
            self._load_exact(engine, table, columns)

    def view(self, engine: Engine, name: str, columns: Sequence[str]) -> bool:
        """Make a view of what `load` reads, whose texts need no memory; an empty cell is NULL.

        Returns
        -------
        bool
            Whether it could be made; `duckdb.Error` of a statement that reads it says that `load`
            is needed, too.
        """
        return self._load_fast(engine, f"VIEW {name}", columns)

    @cached_property
    def _is_plain(self) -> bool:
        return is_plain(self.path, self.separator)

    def _load_fast(
        self, engine: Engine, target: str, columns: Sequence[str], cell: str = "{}"
    ) -> bool:
        """Read with DuckDB; return whether it had nothing to object to."""
        if not self._is_plain:
            return False
        types = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(self.columns)))
        picked = ", ".join(
            f"{cell.format(f'c{self.columns.index(column)}')} AS c{n}"
            for n, column in enumerate(columns)
        )
        quote = '"' if self.quoted else ""
        try:
            engine.run(
                f"CREATE OR REPLACE {target} AS SELECT {picked} FROM "
                f"read_csv({literal(self.path)}, auto_detect = false, header = true, "
                f"delim = {literal(self.separator)}, quote = '{quote}', escape = '{quote}', "
                "comment = '', "
                f"compression = '{'gzip' if is_gzipped(self.path) else 'none'}', "
                f"columns = {{{types}}})"
            )
        except duckdb.Error:
            return False
        return True

    def _load_exact(self, engine: Engine, table: str, columns: Sequence[str]) -> None:
        if self.quoted:
            self._refuse_swallowed_rows()
        names = [f"c{n}" for n in range(len(columns))]
        empty = pd.DataFrame({name: pd.Series([], dtype=object) for name in names})
        engine.load(table, empty.astype("string"))
        with open_source(self.path) as stream:
            chunks = pd.read_csv(
                stream,
                sep=self.separator,
                dtype=str,
                na_filter=False,
                chunksize=_CHUNK_ROWS,
                quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
                encoding="utf-8",
            )
            for chunk in chunks:
                indices = map(self.columns.index, columns)
                texts = {
                    new: chunk.iloc[:, index].fillna("")
                    for new, index in zip(names, indices, strict=True)
                }
                engine.load(table, pd.DataFrame(texts), append=True)

    def refuse(self, row: int, complaint: str) -> NoReturn:
        """Raise `UserError` about a data row, counted from 0."""
        raise UserError(f"{self.path}: {self.where(row)}: {complaint}")

    def where(self, row: int) -> str:
        """Return in words where a data row, counted from 0, is in the file."""
        return f"line {self._line(row)}"

    def _refuse_swallowed_rows(self) -> None:
        """Refuse an open quote that takes in the lines after it.

        A quoted cell may hold any number of lines. It ends at a quote before a separator or the
        end of a line; one that ends elsewhere was never closed, and the text goes on to the
        opening quote of a later cell.
        """
        with open_source(self.path) as stream:
            taken: list[str] = []
            text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            lines = (taken.append(line) or line for line in text)  # type: ignore[func-returns-value]
            records = csv.reader(lines, delimiter=self.separator, strict=True)
            before = 0
            while True:
                try:
                    if next(records, None) is None:
                        return
                except csv.Error as error:
                    self._refuse_text_after_quote(taken, before)
                    # the last quote of a file that is never closed has a message of its own
                    if len(taken) > 1 and "unexpected end of data" not in str(error):
                        cells = next(csv.reader(taken, delimiter=self.separator), [])
                        broken = (n for n, cell in enumerate(cells) if "\n" in cell or "\r" in cell)
                        column = next(broken, 0)
                        names = dict(enumerate(self.columns))
                        raise UserError(
                            f"{self.path}: line {before + 1}: {names.get(column, 'a cell')} goes "
                            "on with a whole row; expected the end of the quote"
                        ) from None
                before = records.line_num
                taken.clear()

    def _refuse_text_after_quote(self, taken: list[str], before: int) -> None:
        """Refuse a line whose quoted cell goes on after its quote: the quotes would be lost."""
        if len(taken) != 1:
            return
        cells = self._quoted_then_text.finditer(taken[0])
        found = next((match for match in cells if match["text"].strip()), None)
        if found is not None:
            raise UserError(
                f"{self.path}: line {before + 1}: found {found['cell'].strip()!r}, a cell that "
                f"goes on after its quotes{self.UNQUOTED}"
            )

    @cached_property
    def _quoted_then_text(self) -> re.Pattern[str]:
        """A cell that opens with a quote, and the text between its closing quote and its end."""
        sep = re.escape(self.separator)
        return re.compile(
            rf'(?:^|(?<={sep}))(?P<cell>"(?:[^"]|"")*"(?P<text>[^{sep}\r\n]*))(?={sep}|\r|\n|$)'
        )

    def cell(self, row: int, column: str) -> str:
        """Return one cell of a data row, counted from 0."""
        return self._record(row)[1][self.columns.index(column)]

    def _line(self, row: int) -> int:
        return self._record(row)[0]

    def _record(self, row: int) -> tuple[int, list[str]]:
        """Return the line on which a data row, counted from 0, starts, and its cells."""
        with open_source(self.path) as stream:
            records, before, number = self._records(stream), 0, -1
            for cells in records:
                if cells and number == row:
                    return before + 1, cells
                number += bool(cells)  # an empty line is no row
                before = records.line_num
        raise AssertionError("the row was read before")

    def _records(self, stream: BinaryIO) -> Any:
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        if self.quoted:
            return csv.reader(text, delimiter=self.separator)
        return csv.reader(text, delimiter=self.separator, quoting=csv.QUOTE_NONE)
