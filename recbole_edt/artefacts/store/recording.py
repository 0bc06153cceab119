"""Writing to a set: recording a finished part, sharing files between sets, the lock of a part."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from recbole_edt.artefacts.settings import SCHEMA
from recbole_edt.artefacts.store.artefact_set import ArtefactSet, load_set
from recbole_edt.artefacts.store.identity import FILES, MANIFEST, Entry, Identity
from recbole_edt.errors import UserError
from recbole_edt.files import read_json, replacing, write_json


def share_part(source: ArtefactSet, folder: Path, part: str) -> None:
    """Put the files of another set's part into `folder`, as hard links where these work."""
    for name in FILES[part]:
        with replacing(folder / name) as temporary:
            try:
                temporary.hardlink_to(source.path / name)
            except OSError:
                temporary.write_bytes((source.path / name).read_bytes())


def record_part(
    folder: Path, dataset: str, identity: Identity, part: str, entry: Entry
) -> ArtefactSet:
    """Enter a finished part into the set's manifest and return the set."""
    path = folder / MANIFEST
    # Parts of one set may be made by two processes at once.
    with filelock.FileLock(folder.parent / ".lock"):
        manifest = read_json(path) if path.exists() else {}
        manifest |= {"schema": SCHEMA, "dataset": dataset, "hash": folder.name}
        manifest |= {"identity": dict(identity), part: entry}
        write_json(path, manifest)
    return load_set(folder)


@contextmanager
def exclusive_lock(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file during the block; `UserError(refusal)` when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(refusal) from None
    try:
        yield
    finally:
        lock.release()
