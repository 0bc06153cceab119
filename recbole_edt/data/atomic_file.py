"""Checks and the reader of atomic files: tab-separated, a quotation mark is a character.

An empty cell is missing; ``NA``, ``null`` and the like are tokens as any other.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest, one_line
from recbole_edt.files import is_number

TOKEN, TOKEN_SEQ, FLOAT, FLOAT_SEQ = _TYPES = ["token", "token_seq", "float", "float_seq"]
"""Types of a column, as RecBole names them."""

_ENCODING = "utf-8-sig"  # a byte order mark at the start, as Windows writes it, is no text
_BLOCK = 1 << 24  # bytes checked at a time
_PREPARE = "'recbole-edt prepare atomic --sources=DIR/NAME --dataset=NEW' reads such a file"
_TAB, _LINE_END, _QUOTE, _RETURN, _NUL = b'\t\n"\r\0'


def check_header(path: Path, needed: Sequence[str]) -> None:
    """Refuse a file without the columns `needed`, with an unknown type or without rows.

    Raises
    ------
    UserError
        Naming the file and the column or line.
    """
    try:
        with open(path, encoding=_ENCODING) as handle:
            header, first = (handle.readline().rstrip("\n") for _ in range(2))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with 'recbole-edt prepare'") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from None
    _check_types(path, header)
    kinds = dict(_columns(header))
    for name in needed:
        if name not in kinds:
            raise UserError(
                f"{path}: no column {name!r} among {list(kinds)}{nearest(name, kinds)}; {_PREPARE} "
                "with --user_col, --item_col, --time_col or --domain_col"
            )
        wanted = FLOAT if name == fields.TIME else TOKEN
        if kinds[name] != wanted:
            raise UserError(f"{path}: column '{name}:{kinds[name]}'; expected '{name}:{wanted}'")
    if not first:
        raise UserError(f"{path}: no row after the header (line 2 is empty)")


def _check_types(path: Path, header: str) -> None:
    """Refuse a header whose columns are not of the form NAME:TYPE, and another separator."""
    other = [mark for mark in ",;| " if f":{TOKEN}{mark}" in header or f":{FLOAT}{mark}" in header]
    if "\t" not in header and other:
        raise UserError(
            f"{path}: line 1: columns are separated by {other[0]!r}, expected a tab; {_PREPARE} "
            f"with --sep={other[0]!r}"
        )
    for field in header.split("\t"):
        _, colon, kind = field.partition(":")
        if kind not in _TYPES:
            raise UserError(
                f"{path}: column {field!r}: expected NAME:TYPE, TYPE one of {_TYPES}"
                f"{'' if colon else '; prepare csv reads tables without types'}"
            )


def check_rows(path: Path, is_read: Callable[[str], bool]) -> int:
    """Refuse rows of another length than the header's, and quotation marks that open a quote.

    RecBole's own reader would take such a quotation mark for the start of a quoted cell: what the
    file says would depend on who reads it. So would a carriage return within a line.

    Parameters
    ----------
    path : pathlib.Path
        A file whose header `check_header` accepts.
    is_read : callable
        Whether a column, by its name, is read. No cell of such a column may begin with a
        quotation mark, which would be lost. In others it may, when the quote ends in the cell.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    UserError
        Naming the file, the line and what was found.
    """
    with open(path, "rb") as handle:
        columns, rows = _columns(handle.readline().decode(_ENCODING)), 0
        for number, block in _blocks(handle):
            data = np.frombuffer(block, np.uint8)
            ends = np.flatnonzero(data == _LINE_END)
            if not block.endswith(b"\n"):
                ends = np.append(ends, len(block))
            rows += len(ends)
            _check_text(path, number, block, data, ends)
            tabs = np.diff(np.searchsorted(np.flatnonzero(data == _TAB), ends), prepend=0)
            wrong = np.flatnonzero(tabs != len(columns) - 1)
            first_bytes = np.r_[True, np.isin(data[:-1], (_TAB, _LINE_END))]
            quotes = np.flatnonzero(first_bytes & (data == _QUOTE))
            for line in np.union1d(wrong, np.searchsorted(ends, quotes)):
                begin = ends[line - 1] + 1 if line else 0
                text = block[begin : ends[line]].decode(errors="replace")
                _check_cells(f"{path}: line {number + line}", _cells(text), columns, is_read)
    return rows


def _check_text(path: Path, number: int, block: bytes, data: np.ndarray, ends: np.ndarray) -> None:
    """Refuse what is no UTF-8, and control characters that end a line for some readers."""
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line = number + int(np.searchsorted(ends, error.start))
        raise UserError(f"{path}: line {line}: not valid UTF-8 ({error.reason})") from None
    wrong = []
    if b"\r" in block:
        wrong = np.setdiff1d(np.flatnonzero(data == _RETURN) + 1, ends).tolist()[:1]
    if b"\0" in block:
        wrong.append(int(np.argmax(data == _NUL)) + 1)
    if wrong:
        line = number + int(np.searchsorted(ends, min(wrong) - 1))
        raise UserError(f"{path}: line {line}: holds a control character; expected plain text")


def columns_of(path: Path) -> list[tuple[str, str]]:
    """Return name and type of each column of a file whose header `check_header` accepts."""
    with open(path, encoding=_ENCODING) as handle:
        return _columns(handle.readline())


def read_columns(path: Path, is_read: Callable[[str], bool]) -> dict[str, list[str]]:
    """Return the cells of some columns as the file has them, in the header's order.

    Parameters
    ----------
    path : pathlib.Path
        An atomic file.
    is_read : callable
        Whether a column, by its name, is wanted.

    Raises
    ------
    UserError
        When the file is missing or no UTF-8, or a row has another length than the header.
    """
    try:
        with open(path, encoding=_ENCODING, newline="\n") as handle:
            names = [name for name, _ in _columns(handle.readline())]
            wanted = [(number, name) for number, name in enumerate(names) if is_read(name)]
            columns: dict[str, list[str]] = {name: [] for _, name in wanted}
            for number, line in enumerate(handle, 2):
                cells = _cells(line)
                if len(cells) != len(names):
                    raise UserError(
                        f"{path}: line {number} has {len(cells)} fields, expected {len(names)}"
                    )
                for index, name in wanted:
                    columns[name].append(cells[index])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with 'recbole-edt prepare'") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from None
    return columns


def normal_line_ends(path: Path, scratch: Path) -> Path:
    """Return the file, or a copy of it in `scratch` where lines end otherwise than in a newline."""
    with open(path, "rb") as handle:
        if not any(b"\r" in block for _, block in _blocks(handle)):
            return path
        copy = scratch / path.name
        handle.seek(0)
        with open(copy, "wb") as target:
            for _, block in _blocks(handle):
                target.write(block.replace(b"\r\n", b"\n").removesuffix(b"\r"))
    return copy


def _check_cells(
    where: str, cells: list[str], columns: list[tuple[str, str]], is_read: Callable[[str], bool]
) -> None:
    if len(cells) != len(columns):
        raise UserError(f"{where}: {len(cells)} fields; expected {len(columns)}")
    for (name, _), cell in zip(columns, cells, strict=True):
        if cell.startswith('"') and (is_read(name) or cell.count('"') % 2):
            raise UserError(
                f"{where}: {name} is {cell!r}; expected no leading quotation mark, "
                f"which opens a quote for RecBole's reader; {_PREPARE}"
            )


def why_unreadable(path: Path, error: ValueError) -> str:
    """Return a message that names the cell that is no number; pandas' `error` names no line."""
    with open(path, encoding="utf-8") as handle:
        columns = _columns(handle.readline())
        for number, line in enumerate(handle, 2):
            for (name, kind), cell in zip(columns, _cells(line), strict=True):
                if kind == FLOAT and cell and not is_number(cell):
                    return f"{path}: line {number}: {name} is {cell!r}; expected a number"
    return f"{path}: cannot be read ({one_line(error)})"


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
