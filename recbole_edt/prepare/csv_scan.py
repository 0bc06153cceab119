"""Checks the bytes of a CSV file for what DuckDB reads otherwise than Python's csv module."""

from pathlib import Path

import numpy as np

from recbole_edt.prepare.source import open_source

_BLOCK = 1 << 22


def is_plain(path: Path, separator: str) -> bool:
    """Return whether DuckDB reads a file as Python's csv module does, malformed rows aside.

    The whole file is read, so that a truncated or damaged gzip file is reported here. DuckDB
    drops an empty cell beyond the header's columns and blanks around quotes; a file that has
    either, or a zero byte, is left to the exact reader.

    Raises
    ------
    UserError
        When the file is missing, truncated or unreadable.
    """
    sep = separator.encode()
    at_quotes = (b' "', b'\t"', b'" ', b'"\t')
    plain, tail = True, sep  # a last line that ends in a separator has no line end
    with open_source(path) as stream:
        while block := stream.read(_BLOCK):
            window = tail + block
            plain = plain and not (b"\x00" in window or _has_pair(window, sep + b"\n"))
            if plain and b"\r" in window:  # one byte is found much faster than two
                plain = not _has_pair(window, sep + b"\r")
            if plain and b'"' in window:
                plain = not any(_has_pair(window, pair) for pair in at_quotes)
            tail = window[-1:]
    return plain and tail != sep


def _has_pair(window: bytes, pair: bytes) -> bool:
    """Return whether a pair of bytes is in a window, of which one alone may be everywhere.

    Python's `in` would stop at each of those; numpy compares all pairs that start at an even place,
    then the others.
    """
    if len(pair) != 2:  # the separator is no ASCII
        return pair in window
    number = int.from_bytes(pair, "little")
    return any(
        bool((np.frombuffer(window, "<u2", (len(window) - first) // 2, first) == number).any())
        for first in (0, 1)
    )
