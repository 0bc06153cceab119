"""Finding the store of an interaction file, and building it under a lock where there is none."""

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

import recbole_edt
from recbole_edt.data.store.building import write_store
from recbole_edt.data.store.columns import DamagedStoreError
from recbole_edt.data.store.interactions import SCHEMA, Interactions
from recbole_edt.data.store.stamp import FileStamp
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, sha256_of, write_json

_POINTER, _LOCK, _UNFINISHED = "inter.json", ".lock", ".building-"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_LOG = logging.getLogger("recbole_edt.data.store")


@dataclass(frozen=True)
class NewFile:
    """An interaction file that this process has just written, and still has in tables.

    Attributes
    ----------
    sha256 : str
        Its digest.
    stamp : FileStamp
        Of the file before it was renamed, which changes neither its size nor its time.
    write : callable
        Writes the store to an empty folder without reading the file (`write_columns`).
    """

    sha256: str
    stamp: FileStamp
    write: Callable[[Path], None]


def open_interactions(
    dataset_dir: Path, name: str, new_file: NewFile | None = None
) -> Interactions:
    """Map the store of ``NAME.inter``; build it when there is none of the file's content.

    The store is in ``store/`` beside the file, or in a cache folder where that cannot be written
    to. ``store/inter.json`` names the current columns with the digest and the stamp of the file;
    it is replaced when they are complete, so that readers see whole stores only.

    Parameters
    ----------
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter``.
    name : str
        The dataset's name.
    new_file : NewFile, optional
        The file, from the process that has written it.

    Raises
    ------
    UserError
        When the file is missing or malformed, or no store can be written.
    """
    path = dataset_dir / f"{name}.inter"
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with 'recbole-edt prepare'")
    roots = list(_roots(dataset_dir))
    for root in roots:
        store = _current(root, path)
        if store is not None:
            return store
    for root in roots:
        try:
            return _build(root, path, new_file)
        except OSError as error:
            if error.errno not in _READ_ONLY or root == roots[-1]:
                raise UserError(
                    f"{root}: the store of {path.name} cannot be written "
                    f"({error.strerror or error})"
                ) from None
    raise AssertionError("the last root returns or raises")


def _roots(dataset_dir: Path) -> Iterator[Path]:
    """Yield the folders where a store may be, the preferred one first."""
    folder = dataset_dir.resolve()
    if Path(recbole_edt.__file__).resolve().parent not in folder.parents:
        yield dataset_dir / "store"
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    yield (Path(caches) if caches else Path.home() / ".cache") / "recbole_edt" / "store" / digest


def _current(root: Path, path: Path) -> Interactions | None:
    """Return the store in `root` if it is of the present content of `path`."""
    pointer = _read_pointer(root)
    if pointer is None:
        return None
    sha256, stamp, folder = pointer
    now = FileStamp.of(path)
    if not stamp.proves(now):
        if stamp.size != now.size or sha256_of(path) != sha256:
            return None
        with suppress(OSError):  # of a folder that is read-only by now
            _write_pointer(root, sha256, now, folder)
    try:
        return Interactions.open(folder)
    except DamagedStoreError as error:
        _LOG.warning("%s; the store is built again", error)
        return None


def _build(root: Path, path: Path, new_file: NewFile | None) -> Interactions:
    """Build the store in `root`, unless another process has done so in the meantime."""
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):
        store = _current(root, path)
        if store is not None:
            return store
        for left in root.glob(f"{_UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        stamp = FileStamp.of(path)
        if new_file is not None and new_file.stamp.has_content_of(stamp):
            sha256, write = new_file.sha256, new_file.write
        else:
            sha256 = sha256_of(path)
            write = partial(write_store, path, sha256)
        unfinished = root / f"{_UNFINISHED}{os.getpid()}"
        folder = root / f"inter-{SCHEMA}-{sha256[:16]}"
        _LOG.info("building the store of %s in %s", path, root)
        try:
            unfinished.mkdir()
            write(unfinished)
            if not stamp.is_same_file(FileStamp.of(path)):
                raise UserError(f"{path}: changed while it was read; start again")
            if folder.exists():  # damaged, or its pointer was lost
                shutil.rmtree(folder)
            unfinished.rename(folder)
            _write_pointer(root, sha256, stamp, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for other in root.glob("inter-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)  # still mapped by others: fails on Windows
        return Interactions.open(folder)


def _read_pointer(root: Path) -> tuple[str, FileStamp, Path] | None:
    try:
        pointer: dict[str, Any] = read_json(root / _POINTER)
        if pointer["schema"] != SCHEMA:
            _LOG.info("%s: version %s, not %s", root, pointer["schema"], SCHEMA)
            return None
        stamp = FileStamp.from_json(pointer["stamp"])
        return str(pointer["sha256"]), stamp, root / Path(pointer["folder"]).name
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return None


def _write_pointer(root: Path, sha256: str, stamp: FileStamp, folder: Path) -> None:
    content = {"schema": SCHEMA, "sha256": sha256, "stamp": stamp.to_json(), "folder": folder.name}
    write_json(root / _POINTER, content)
