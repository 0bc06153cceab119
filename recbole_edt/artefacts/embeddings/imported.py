"""The part `embeddings` from a file: vectors that were made elsewhere."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.embeddings.alignment import rows_of_items, stored_vectors, vectors_digest
from recbole_edt.artefacts.embeddings.vector_table import VectorTable, read_vector_table
from recbole_edt.artefacts.settings import ELSEWHERE, ArtefactSettings
from recbole_edt.artefacts.store import (
    EMBEDDINGS,
    ArtefactSet,
    Entry,
    no_such_vectors,
    save_item_vectors,
)
from recbole_edt.artefacts.suggestion import WHERE, suggest
from recbole_edt.artefacts.task import ArtefactTask, PartReport, reuse_part
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.llm import Shard

_NAME = re.compile(r"[^\s@:,'\"\\/]+")


@dataclasses.dataclass(frozen=True)
class VectorSource:
    """Where item vectors are to be read from.

    Attributes
    ----------
    file : str
        ``FILE`` or ``FILE:COLUMN``; see `read_vector_table`.
    ids : str or None
        File or column of ids.
    name : str or None
        Their name; by default that of the column, or the file's without its ending.
    drop_unknown : bool
        Leave out vectors of ids that are no item of the dataset, instead of refusing them.
    zero_missing : bool
        Give items without a vector zeros, instead of refusing them.
    """

    file: str
    ids: str | None = None
    name: str | None = None
    drop_unknown: bool = False
    zero_missing: bool = False


def import_vectors(
    config: Mapping[str, Any],
    dataset_dir: Path,
    name: str,
    split: Split,
    source: VectorSource,
    dry_run: bool,
) -> PartReport:
    """Store vectors of a file as the item vectors of a set; those that are there already stay.

    They are stored as they are, rounded to float16, and found by ``encoder: vectors:NAME@DIGEST``,
    where the digest is of ids and stored vectors: other vectors are another encoder [ours].

    Parameters
    ----------
    config, dataset_dir, name, split
        As for `make.make_artefacts`.
    source : VectorSource
        The file.
    dry_run : bool
        Check the file and write nothing.

    Raises
    ------
    UserError
        For ids that are missing, unknown, empty or twice there, vectors that are not finite or
        not to be held in float16, and what `read_vector_table` refuses.
    """
    catalogue = read_catalogue(dataset_dir, name, None)
    table = read_vector_table(source.file, source.ids, dataset_dir)
    label = source.name or table.column or table.path.stem
    if not _NAME.fullmatch(label):
        raise UserError(
            f"vectors_name: {label!r}; expected a name without blanks, quotes and any of @ : , / \\"
        )
    rows = rows_of_items(table, catalogue, source.drop_unknown, source.zero_missing)
    vectors = stored_vectors(table, rows)
    encoder = f"{ELSEWHERE}{label}@{vectors_digest(catalogue.ids, vectors)}"
    settings = dataclasses.replace(
        ArtefactSettings.from_config(config), encoder=encoder, encoder_revision=None
    )
    task = ArtefactTask(config, dataset_dir, name, settings, catalogue, split, Shard())
    reused = reuse_part(task, EMBEDDINGS, describe_imported, "the vectors", "store", dry_run)
    if reused is not None:
        return dataclasses.replace(reused, text=f"{reused.text}\n{_use(task)}")
    entry = _entry(task, table, rows, vectors)
    if dry_run:
        text = f"{EMBEDDINGS}: would be stored in {task.folder}\n" + "\n".join(_lines(entry))
        return PartReport(EMBEDDINGS, "estimated", text)
    entry["sha256"] = save_item_vectors(task.folder, catalogue.ids, vectors)
    made = task.record(EMBEDDINGS, entry)
    text = f"{EMBEDDINGS}: stored\n{describe_imported(made)}\n{_use(task)}"
    return PartReport(EMBEDDINGS, "made", text)


def find_imported(task: ArtefactTask, dry_run: bool) -> PartReport:
    """Report the vectors of a set whose encoder names a file's; `UserError` if there are none."""
    reused = reuse_part(task, EMBEDDINGS, describe_imported, "the vectors", "store", dry_run)
    if reused is None:
        raise UserError(no_such_vectors(task.settings.encoder, task.dataset_dir, task.name))
    return reused


def describe_imported(artefacts: ArtefactSet) -> str:
    """Return what is printed of a set's vectors."""
    head = f"  set {artefacts.hash} in {artefacts.path}"
    return "\n".join([head, *_lines(artefacts.manifest[EMBEDDINGS])])


def _entry(
    task: ArtefactTask, table: VectorTable, rows: np.ndarray, vectors: np.ndarray
) -> dict[str, Any]:
    """Return what the manifest records: where the vectors came from, and counts."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    nonzero = lengths[lengths > 0]
    domains = np.array(task.catalogue.column(task.settings.domain_field), dtype=object)
    zero, counts = np.unique(domains[lengths == 0], return_counts=True)
    return {
        "encoder": task.settings.encoder,
        "file": str(table.path),
        "column": table.column,
        "ids": str(table.ids_path),
        "dtype": str(table.vectors.dtype),
        "dim": vectors.shape[1],
        "items": len(vectors),
        "without_vector": int((rows < 0).sum()),
        "zero_vectors_by_domain": dict(zip(zero.tolist(), counts.tolist(), strict=True)),
        "unknown_ids": len(table.ids) - int((rows >= 0).sum()),
        "lengths": [round(float(v), 4) for v in (nonzero.min(), nonzero.max())]
        if len(nonzero)
        else None,
        "made_with": {"recbole_edt": recbole_edt.__version__},
    }


def _lines(entry: Entry) -> list[str]:
    lines = [
        f"  {entry['items']:,} items, {entry['dim']} values each, from {entry['file']} "
        f"({entry['dtype']}, stored as float16)"
    ]
    if entry["lengths"]:
        lines.append("  lengths of the vectors: {} to {}".format(*entry["lengths"]))
    by_domain = entry["zero_vectors_by_domain"]
    if by_domain:
        detail = ", ".join(f"{domain} {count:,}" for domain, count in by_domain.items())
        lines.append(
            f"  {sum(by_domain.values()):,} items have a zero vector ({detail}), of which "
            f"{entry['without_vector']:,} are not in the file"
        )
    if entry["unknown_ids"]:
        lines.append(f"  {entry['unknown_ids']:,} vectors of ids that are no item were left out")
    return [*lines, f"  encoder: {entry['encoder']}"]


def _use(task: ArtefactTask) -> str:
    """Return the line with the command that uses the vectors."""
    run = ("--model=LLMEDT", f"--encoder={task.settings.encoder}")
    return f"  use them: {suggest(task.config, WHERE, 'run', task.name, *run)}"
