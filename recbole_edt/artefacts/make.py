"""Making, resuming or estimating the artefacts of a dataset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.augmenter import make_augmented
from recbole_edt.artefacts.embeddings import VectorSource, import_vectors, make_embeddings
from recbole_edt.artefacts.probe import run_probe
from recbole_edt.artefacts.profiles import make_profiles
from recbole_edt.artefacts.settings import refuse_to_encode
from recbole_edt.artefacts.store import AUGMENT, EMBEDDINGS, PARTS, PROFILES
from recbole_edt.artefacts.task import ArtefactTask, PartReport
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError, nearest
from recbole_edt.llm import Shard

PROBED_USERS = 200
"""Users that a probe draws when no other number is given."""

_MAKERS: dict[str, Callable[[ArtefactTask, bool], PartReport]] = {
    EMBEDDINGS: make_embeddings,
    AUGMENT: make_augmented,
    PROFILES: make_profiles,
}


def make_artefacts(
    config: Mapping[str, Any],
    dataset_dir: Path,
    name: str,
    split: Split,
    *,
    only: Sequence[str] = (),
    dry_run: bool = False,
    shard: Shard | None = None,
    vectors: VectorSource | None = None,
) -> list[PartReport]:
    """Make the wanted parts of the set that the configuration asks for.

    What is complete is left as it is, what was interrupted is resumed, and a part that another
    set has already, made from the same things, is shared with it.

    Parameters
    ----------
    config : mapping
        The configuration; the keys of `ArtefactSettings`, those of the parts and of the
        language model, and ``show_progress`` are read.
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter`` and ``NAME.item``.
    name : str
        The dataset's name.
    split : Split
        The split that the set is for.
    only : sequence of str
        The parts to make, of `store.PARTS`; all when empty.
    dry_run : bool
        Write nothing and report what there is to do and how long it would take here.
    shard : Shard, optional
        The share of the questions to a language model that this process asks; all by default.
    vectors : VectorSource, optional
        A file of item vectors that were made elsewhere, stored instead of encoding texts.

    Returns
    -------
    list of PartReport
        One per part, in the order in which they are made.

    Raises
    ------
    UserError
        Bad input, a model that cannot be used, a damaged set, or a disk that is full.
    """
    parts = wanted_parts(only)
    if vectors is not None:
        if shard is not None and shard.count > 1:
            raise UserError("shard: vectors of a file are stored by one process")
        with _disk_errors(dataset_dir):
            return [import_vectors(config, dataset_dir, name, split, vectors, dry_run)]
    task = ArtefactTask.from_config(config, dataset_dir, name, split, shard)
    refuse_to_encode(task.settings, parts)
    with _disk_errors(task.folder):
        return [_MAKERS[part](task, dry_run) for part in parts]


def wanted_parts(only: Sequence[str]) -> list[str]:
    """Return the parts to make in their order, all when `only` is empty; refuse unknown ones."""
    for part in only:
        if part not in PARTS:
            raise UserError(
                f"only: {part!r} is unknown; expected {', '.join(PARTS)}{nearest(part, PARTS)}"
            )
    return [part for part in PARTS if not only or part in only]


def probe_augmenter(
    config: Mapping[str, Any], dataset_dir: Path, name: str, split: Split, users: int
) -> str:
    """Measure the augmenter on hidden interactions of so many users and return a report.

    The other parameters are those of `make_artefacts`; see `probe.run_probe`.
    """
    task = ArtefactTask.from_config(config, dataset_dir, name, split)
    with _disk_errors(task.folder):
        return run_probe(task, users)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Report a full or unreadable disk as bad input."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: cannot be read or written ({error.strerror or error}); "
            "what was done so far is kept"
        ) from error
