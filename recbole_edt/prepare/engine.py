"""The embedded database (DuckDB) in which interactions are read, filtered, ordered and written.

Its tables are in memory up to a limit and go to a temporary folder beyond it, so that the data
may be larger than the memory.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from recbole_edt.errors import UserError, one_line

MEMORY_GB = 3.0
"""Memory that the engine may use before it writes to its temporary folder, in GB."""


class Engine:
    """A connection to a database of its own, dropped when it is closed.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where a temporary folder is made when the memory does not suffice (default: the
        present folder). It is removed by `close`.
    memory_gb : float
        See `MEMORY_GB`.
    """

    def __init__(self, folder: Path | None = None, memory_gb: float = MEMORY_GB) -> None:
        folder = folder or Path()
        self._spill = folder / f".prepare.{os.getpid()}.tmp"
        self._new = None if folder.exists() else folder
        try:  # DuckDB makes its folder when it needs it, but not the parents
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror or error}") from None
        self.db = duckdb.connect(
            config={
                "memory_limit": f"{int(memory_gb * 1000)}MB",
                "temp_directory": str(self._spill),
                "threads": os.cpu_count() or 1,
                "preserve_insertion_order": True,
                # no extension is fetched from the network behind the user's back
                "autoinstall_known_extensions": False,
            }
        )
        self.run("SET TimeZone = 'UTC'")

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop all tables and the temporary folder."""
        self.db.close()
        shutil.rmtree(self._spill, ignore_errors=True)
        if self._new is not None and not any(self._new.iterdir()):
            self._new.rmdir()

    def run(self, sql: str) -> None:
        """Execute one statement.

        Raises
        ------
        UserError
            When the disk is full or the memory limit too small.
        """
        self.rows(sql)

    def run_at_once(self, statements: Sequence[str]) -> list[duckdb.Error | None]:
        """Execute statements side by side; return what DuckDB objects to each.

        For statements that each keep one processor busy, such as reading a gzipped file.

        Raises
        ------
        UserError
            As `run`.
        """
        cursors = [self.db.cursor() for _ in statements]

        def attempt(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Error | None:
            try:
                with _resources():
                    cursor.execute(sql)
            except duckdb.Error as error:
                return error
            return None

        with ThreadPoolExecutor(len(statements)) as pool:
            errors = pool.map(attempt, cursors, statements)
            try:
                return list(errors)
            except BaseException:  # Ctrl-C does not wait for the ends
                for cursor in cursors:
                    cursor.interrupt()
                raise

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a small result; errors as in `run`."""
        with _resources():
            return self.db.execute(sql).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the only row of a result; errors as in `run`."""
        return self.rows(sql)[0]

    def arrays(self, sql: str) -> dict[str, np.ndarray]:
        """Return a result as one array per column; errors as in `run`."""
        with _resources():
            return self.db.execute(sql).fetchnumpy()

    def frame(self, sql: str) -> pd.DataFrame:
        """Return a result as a table; errors as in `run`."""
        with _resources():
            return self.db.execute(sql).df()

    def load(self, table: str, frame: pd.DataFrame, append: bool = False) -> None:
        """Copy a pandas table into a new table, or to the end of an old one."""
        self.db.register("_frame", frame)
        try:
            begin = f"INSERT INTO {table}" if append else f"CREATE OR REPLACE TABLE {table} AS"
            self.run(f"{begin} SELECT * FROM _frame")
        finally:
            self.db.unregister("_frame")


def literal(text: str | Path) -> str:
    """Return a text or path as a literal of SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def name(column: str) -> str:
    """Return the name of a column as an identifier of SQL."""
    return '"' + column.replace('"', '""') + '"'


@contextmanager
def _resources() -> Iterator[None]:
    """Report a full disk and a memory limit that is too small in one line."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"memory_gb: too small for these data, or the disk is full ({first_line(error)})"
        ) from None
    except duckdb.IOException as error:
        if "no space left" in str(error).lower() or "disk" in str(error).lower():
            raise UserError(f"the disk is full ({first_line(error)})") from None
        raise


def first_line(error: duckdb.Error) -> str:
    """Return what an error of DuckDB says before it quotes the statement."""
    return one_line(str(error).split("\n")[0], 200)
