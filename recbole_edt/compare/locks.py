"""Exclusive lock per folder of a comparison or a search."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from recbole_edt.errors import UserError


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lock a folder for the block; a UserError when another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock").acquire(timeout=0):
            yield
    except filelock.Timeout:
        raise UserError(f"{folder}: another process is at work on it") from None
