"""Opening raw files: plain or gzipped, with a progress bar and one-line errors."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from tqdm import tqdm

from recbole_edt.errors import UserError, one_line

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER = 1 << 20


def is_gzipped(path: Path) -> bool:
    """Return whether a file is gzipped; the content decides, not the name."""
    with open(path, "rb") as handle:
        return handle.read(2) == _GZIP_MAGIC


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """Yield the bytes of a plain or gzipped file; the content decides, not the name.

    A progress bar over the bytes on disk is shown on stderr when that is a terminal. What goes
    wrong while the block reads is reported in one line.

    Raises
    ------
    UserError
        When the file is missing, unreadable, truncated, or not the text it should be.
    """
    try:
        with (
            open(path, "rb", buffering=0) as raw,
            tqdm(
                total=path.stat().st_size,
                desc=path.name,
                unit="B",
                unit_scale=True,
                disable=None,
                leave=False,
            ) as bar,
        ):
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stream: Any = io.BufferedReader(_Counted(raw, bar), _BUFFER)
            if zipped:
                stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER)
            yield stream
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except EOFError:
        raise UserError(f"{path}: the gzip data end too early; is the download whole?") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip data ({error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise UserError(f"{path}: {_in_our_words(error)}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def _in_our_words(error: Exception) -> str:
    text = one_line(error)
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text):
        expected, line, fields = found.groups()
        return f"line {line}: {fields} fields; expected {expected} as in the header"
    if found := re.search(r"EOF inside string starting at row (\d+)", text):
        return f"line {int(found[1]) + 1}: a quote is never closed"
    return text


class _Counted(io.RawIOBase):
    """A raw file that moves a progress bar as it is read."""

    def __init__(self, raw: io.FileIO, bar: tqdm) -> None:
        self._raw, self._bar = raw, bar

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._raw.readinto(buffer) or 0
        self._bar.update(size)
        return size
