"""Writing files so that no reader ever sees half of one, and reading them with clear errors."""

import csv
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_edt.errors import UserError, one_line

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    The data reaches the disk before the rename, so that a crash leaves either the old file
    or the new one. On an exception the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(path: Path, refusal: str, wait: bool = False) -> Iterator[None]:
    """Hold a lock file during the block; where another process holds it, wait or refuse.

    Raises
    ------
    UserError
        The `refusal`, unless `wait` is set.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = filelock.FileLock(path).acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        raise UserError(refusal) from None
    with held:
        yield


def to_disk(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with open(path, "r+b") as handle:  # Windows syncs only what is open for writing
        os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")  # the same bytes everywhere


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same keys as CSV, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[-1]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file.

    Raises
    ------
    UserError
        When the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def load_array(path: Path, mapped: bool = False) -> "np.ndarray":
    """Return the array of a ``.npy`` file, read-only pages of the file if `mapped`.

    Raises
    ------
    OSError, ValueError
        When the file cannot be opened, or is none. numpy itself raises many more kinds of errors
        for a damaged header, among them those of Python's own parser.
    """
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns of a header that it has to guess
            array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        # Python's own parser names objects by their address: "<ast.Name object at 0x7f10f4211390>"
        reason = "a damaged header" if " object at 0x" in str(error) else one_line(error)
        raise ValueError(reason or type(error).__name__) from None
    if not isinstance(array, np.ndarray):
        raise ValueError("several arrays in one file")
    return array


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as a hex string."""
    hasher = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-like value, independent of the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_number(text: str) -> bool:
    """Return whether the text of a field is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
