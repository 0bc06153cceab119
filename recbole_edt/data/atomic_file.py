"""Checks of an atomic file before RecBole reads it, for its reader drops and joins cells."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recbole_edt.errors import UserError, nearest
from recbole_edt.files import is_number
from recbole_edt.recbole_bridge import FeatureType

_TYPES = [kind.value for kind in FeatureType]
_BLOCK = 1 << 24  # bytes checked at a time
_TAB, _LINE_END, _QUOTE = b'\t\n"'


def check_header(path: Path, needed: Sequence[str]) -> None:
    """Refuse a file without the columns `needed`, with an unknown type or without rows.

    Raises
    ------
    UserError
        Naming the file and the column or line.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            header, first = (handle.readline().rstrip("\n") for _ in range(2))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with 'recbole-edt prepare'") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from None
    for field in header.split("\t"):
        if field.partition(":")[2] not in _TYPES:
            raise UserError(f"{path}: column {field!r}: expected NAME:TYPE, TYPE one of {_TYPES}")
    names = [name for name, _ in _columns(header)]
    for name in needed:
        if name not in names:
            raise UserError(f"{path}: no column {name!r} among {names}{nearest(name, names)}")
    if not first:
        raise UserError(f"{path}: line 2 is empty; expected rows after the header")


def check_rows(path: Path, is_read: Callable[[str], bool]) -> None:
    """Refuse rows of another length than the header's, and quotation marks that open a quote.

    Parameters
    ----------
    path : pathlib.Path
        A file whose header `check_header` accepts.
    is_read : callable
        Whether a column, by its name, is read. No cell of such a column may begin with a
        quotation mark, which would be lost. In others it may, when the quote ends in the cell.

    Raises
    ------
    UserError
        Naming the file, the line and what was found.
    """
    with open(path, "rb") as handle:
        columns = _columns(handle.readline().decode())
        for number, block in _blocks(handle):
            data = np.frombuffer(block, np.uint8)
            ends = np.flatnonzero(data == _LINE_END)
            if not block.endswith(b"\n"):
                ends = np.append(ends, len(block))
            tabs = np.diff(np.searchsorted(np.flatnonzero(data == _TAB), ends), prepend=0)
            wrong = np.flatnonzero(tabs != len(columns) - 1)
            first_bytes = np.r_[True, np.isin(data[:-1], (_TAB, _LINE_END))]
            quotes = np.flatnonzero(first_bytes & (data == _QUOTE))
            for line in np.union1d(wrong, np.searchsorted(ends, quotes)):
                begin = ends[line - 1] + 1 if line else 0
                text = block[begin : ends[line]].decode(errors="replace")
                _check_cells(f"{path}: line {number + line}", _cells(text), columns, is_read)


def _check_cells(
    where: str, cells: list[str], columns: list[tuple[str, str]], is_read: Callable[[str], bool]
) -> None:
    if len(cells) != len(columns):
        raise UserError(f"{where}: {len(cells)} fields; expected {len(columns)}")
    for (name, _), cell in zip(columns, cells, strict=True):
        if cell.startswith('"') and (is_read(name) or cell.count('"') % 2):
            raise UserError(
                f"{where}: {name} is {cell!r}; expected no leading quotation mark, "
                "which opens a quote"
            )


def why_unreadable(path: Path, error: ValueError) -> str:
    """Return a message that names the cell that is no number; pandas' `error` names no line."""
    with open(path, encoding="utf-8") as handle:
        columns = _columns(handle.readline())
        for number, line in enumerate(handle, 2):
            for (name, kind), cell in zip(columns, _cells(line), strict=True):
                if kind == FeatureType.FLOAT.value and cell and not is_number(cell):
                    return f"{path}: line {number}: {name} is {cell!r}; expected a number"
    return f"{path}: cannot be read ({' '.join(str(error).split())})"


def _columns(header: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, _, kind in (cell.partition(":") for cell in _cells(header))]


def _cells(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _blocks(handle: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line in the file."""
    number = 2
    while block := handle.read(_BLOCK) + handle.readline():
        yield number, block
        number += block.count(b"\n")
