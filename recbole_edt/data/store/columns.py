"""Columns of a store: ``.npy`` files written piece by piece and mapped read-only."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recbole_edt.errors import one_line
from recbole_edt.files import load_array


class DamagedStoreError(Exception):
    """A store that cannot be read as it is; it is derived, and built again."""


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; its bytes are on the disk when the block ends.

    Columns are written with plain writes, never through a memory map: on a full disk a write
    raises `OSError`, a mapped page kills the process.
    """
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_header(file: BinaryIO, dtype: np.dtype, count: int) -> None:
    """Write the header of a one-dimensional ``.npy`` file whose values follow."""
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)


def write_column(path: Path, values: np.ndarray) -> None:
    """Write a whole column at once."""
    write_pieces(path, values.dtype, len(values), [values])


def write_pieces(path: Path, dtype: np.dtype, count: int, pieces: Iterable[np.ndarray]) -> None:
    """Write a column that comes in pieces, `count` values in all."""
    with new_file(path) as file:
        write_header(file, dtype, count)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=dtype).data)


def map_column(path: Path, dtype: type, count: int) -> np.ndarray:
    """Return a column as a read-only array whose pages are shared by all processes.

    Raises
    ------
    DamagedStoreError
        When the file is missing, cut short, or holds other than `count` values of `dtype`.
    """
    try:
        values = load_array(path, mapped=True)
    except (OSError, ValueError) as error:
        raise DamagedStoreError(f"{path}: {one_line(error)}") from None
    if values.dtype != dtype or values.shape != (count,):
        raise DamagedStoreError(
            f"{path}: {values.dtype} {list(values.shape)}, expected {np.dtype(dtype)} [{count}]"
        )
    return np.asarray(values)


def map_bytes(path: Path, count: int) -> np.ndarray:
    """Return a file of `count` bytes as a read-only uint8 array; errors as for `map_column`."""
    try:
        size = path.stat().st_size
        if size != count:
            raise DamagedStoreError(f"{path}: {size} bytes, expected {count}")
        return np.asarray(np.memmap(path, np.uint8, "r")) if count else np.empty(0, np.uint8)
    except (OSError, ValueError) as error:
        raise DamagedStoreError(f"{path}: {error}") from None
