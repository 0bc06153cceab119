"""Checks the bytes of a CSV file for what DuckDB reads otherwise than Python's csv module."""

from pathlib import Path

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
            plain = plain and not (b"\x00" in window or sep + b"\n" in window)
            if plain and b"\r" in window:  # one byte is found much faster than two
                plain = sep + b"\r" not in window
            if plain and b'"' in window:
                plain = not any(one in window for one in at_quotes)
            tail = window[-1:]
    return plain and tail != sep
