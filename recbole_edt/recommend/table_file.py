"""Tables of recommendations as CSV or Parquet, written piece by piece; the file appears whole."""

import csv
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from recbole_edt.errors import UserError
from recbole_edt.files import replacing

_PARQUET = ".parquet"

Columns = dict[str, np.ndarray]
WriteColumns = Callable[[Columns], None]


@contextmanager
def table_file(path: Path, names: Sequence[str]) -> Iterator[WriteColumns]:
    """Open a table of some columns for writing; yields a function that appends rows.

    Parameters
    ----------
    path : pathlib.Path
        ``.parquet``, where pyarrow is installed, or any other name for CSV.
    names : sequence of str
        Of the columns: ``rank`` is a whole number, ``score`` and what ends in ``_share`` are
        float32, others are text.

    Raises
    ------
    UserError
        For Parquet without pyarrow, or a path that cannot be written to.
    """
    try:
        with (_parquet if path.suffix == _PARQUET else _csv)(path, names) as write:
            yield write
    except OSError as error:
        raise UserError(f"out: {path} cannot be written ({error.strerror or error})") from None


def csv_rows(file: TextIO, names: Sequence[str]) -> WriteColumns:
    """Write the header of a CSV table and return the function that appends rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)

    def write(columns: Columns) -> None:
        # str() of a float32 has the shortest digits that read back as the same float32
        texts = (
            map(str, columns[name]) if _is_float(name) else columns[name].tolist() for name in names
        )
        writer.writerows(zip(*texts, strict=True))

    return write


def _is_float(name: str) -> bool:
    return name == "score" or name.endswith("_share")


@contextmanager
def _csv(path: Path, names: Sequence[str]) -> Iterator[WriteColumns]:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield csv_rows(file, names)


@contextmanager
def _parquet(path: Path, names: Sequence[str]) -> Iterator[WriteColumns]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"out: {path}: writing Parquet needs pyarrow; install it, or name a .csv file"
        ) from None

    def kind(name: str) -> object:
        if _is_float(name):
            return arrow.float32()
        return arrow.int32() if name == "rank" else arrow.string()

    schema = arrow.schema([(name, kind(name)) for name in names])

    def write(columns: Columns) -> None:
        lists = {name: columns[name].tolist() for name in names}
        writer.write_table(arrow.table(lists, schema=schema))

    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        yield write
