"""A raw table as a Parquet file or a folder of them, as Spark or a warehouse exports."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import duckdb
import numpy as np

from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.engine import Engine, first_line, literal, name

_MAGIC = b"PAR1"
_IDS = ("VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT",
        "UINTEGER", "UBIGINT", "HUGEINT")  # fmt: skip
_NUMBERS = (*_IDS[1:], "FLOAT", "DOUBLE", "DECIMAL")
_TIMES = ("DATE", "TIMESTAMP")


def is_parquet(path: Path) -> bool:
    """Return whether a path is a folder or a file that begins as Parquet files do."""
    if path.is_dir():
        return True
    try:
        with open(path, "rb") as handle:
            return handle.read(4) == _MAGIC
    except OSError:
        return False


class ParquetFile:
    """One file, or all ``*.parquet`` files below a folder in the order of their names.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder.
    engine : Engine
        Reads it.

    Attributes
    ----------
    types : dict of str to str
        Type of each column by its name, as DuckDB writes it.
    columns : list of str
        Their names.

    Raises
    ------
    UserError
        For a folder without such files, and files that are damaged or of different columns.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path, self._engine = path, engine
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        self.files = [file for file in files if not file.name.startswith((".", "_"))]
        if not self.files:
            raise UserError(f"{path}: holds no *.parquet file")
        self._source = f"read_parquet([{', '.join(map(literal, self.files))}])"
        try:
            described = engine.db.execute(f"DESCRIBE SELECT * FROM {self._source}").fetchall()
        except duckdb.Error as error:
            raise UserError(f"{path}: {first_line(error)}") from None
        self.types = {row[0]: str(row[1]) for row in described}
        self.columns = list(self.types)

    def require(self, needed: Iterable[tuple[str, str]]) -> None:
        """Refuse a table without some columns, each given after the flag that names it."""
        for flag, column in needed:
            if column not in self.types:
                raise UserError(
                    f"{self.path}: no column '{column}'{nearest(column, self.columns)}; found "
                    f"{', '.join(self.columns)}; --{flag}=NAME names another"
                )

    def refuse_time(self, column: str) -> None:
        """Refuse a column whose type says already how its times are read.

        Raises
        ------
        UserError
            When the column holds dates or timestamps.
        """
        if self.types[column].startswith(_TIMES):
            raise UserError(
                f"time_format: column '{column}' of {self.path} is of type {self.types[column]}, "
                "which needs none; expected texts or numbers"
            )

    def load(
        self,
        engine: Engine,
        table: str,
        columns: Sequence[str],
        time: str | None = None,
        number: str | None = None,
    ) -> None:
        """Read some columns as texts into a new table, called `c0`, `c1`, ...

        Parameters
        ----------
        engine : Engine
            Gets the table.
        table : str
            Its name.
        columns : sequence of str
            What to read.
        time : str, optional
            The column among them that holds numbers, dates or timestamps (read as seconds).
        number : str, optional
            The column among them that holds any numbers; all others hold texts or whole numbers.

        Raises
        ------
        UserError
            For a column of another type, nested ones included, and a damaged file.
        """
        picked = []
        for index, column in enumerate(columns):
            kind, cell = self.types[column], name(column)
            base = kind.partition("(")[0].partition(" ")[0]
            allowed: tuple[str, ...] = _IDS
            expected = "texts or whole numbers"
            if column == time:
                allowed, expected = (*_IDS, *_NUMBERS, *_TIMES), "numbers, dates or timestamps"
            elif column == number:
                allowed, expected = (*_IDS, *_NUMBERS), "numbers"
            if kind.endswith("]") or base not in allowed:
                raise UserError(
                    f"{self.path}: column '{column}' is of type {kind}; expected {expected}"
                )
            if base.startswith(_TIMES):
                cell = f"epoch({cell})"
            picked.append(f"coalesce({cell}::VARCHAR, '') AS c{index}")
        try:
            engine.run(
                f"CREATE OR REPLACE TABLE {table} AS SELECT {', '.join(picked)} FROM {self._source}"
            )
        except duckdb.Error as error:
            raise UserError(f"{self.path}: {first_line(error)}") from None

    def vectors(self, column: str) -> np.ndarray:
        """Return a column of lists of equal length, float32 [N, m]; what is null is NaN.

        Raises
        ------
        UserError
            For lists of different lengths or of other things than numbers, and a damaged file.
        """
        kind, cell = self.types[column], name(column)
        if kind.partition("[")[0].partition("(")[0] not in _NUMBERS or kind.count("]") != 1:
            raise UserError(
                f"{self.path}: column '{column}' is of type {kind}; expected lists of numbers"
            )
        lists = f"{cell}::FLOAT[]"
        try:
            sizes = self._engine.arrays(f"SELECT coalesce(len({lists}), 0) n FROM {self._source}")
            values = self._engine.arrays(f"SELECT unnest({lists}) v FROM {self._source}")["v"]
        except duckdb.Error as error:
            raise UserError(f"{self.path}: column '{column}': {first_line(error)}") from None
        lengths = sizes["n"]
        other = np.flatnonzero(lengths != lengths[:1])
        if len(other):
            row = int(other[0])
            self.refuse(row, f"{column} has {lengths[row]} values, row 1 has {lengths[0]}")
        if np.ma.isMaskedArray(values):
            values = np.ma.filled(values, np.nan)
        return values.reshape(len(lengths), -1) if len(lengths) else values.reshape(0, 0)

    def refuse(self, row: int, complaint: str) -> NoReturn:
        """Raise `UserError` about a row, counted from 0."""
        raise UserError(f"{self.path}: row {row + 1}: {complaint}")

    def cell(self, row: int, column: str) -> str:
        """Return one cell of a row, counted from 0."""
        query = f"SELECT {name(column)}::VARCHAR FROM {self._source} LIMIT 1 OFFSET {row}"
        return str(self._engine.row(query)[0])
