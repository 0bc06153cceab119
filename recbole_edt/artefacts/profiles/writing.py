"""Encoding the texts of profiles and writing the part `profiles` of a set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt.artefacts.embeddings import TextEncoder, encode_texts, plan_encoding
from recbole_edt.artefacts.store import Entry, save_profiles
from recbole_edt.artefacts.task import ArtefactTask


@dataclass(frozen=True)
class ProfileTable:
    """Texts of profiles, and the cell of each in a table of users and domains.

    Attributes
    ----------
    texts : sequence of str
        Q texts, ``""`` where there is none.
    users, columns : numpy.ndarray
        int64 [Q], index into the user tokens, and below `width`.
    width : int
        Profiles that a user may have: the number of domains, or 1 for overall profiles.
    """

    texts: Sequence[str]
    users: np.ndarray
    columns: np.ndarray
    width: int


def write_profiles(
    task: ArtefactTask,
    table: ProfileTable,
    encoder: TextEncoder,
    work: Path,
    counted: Entry,
    rows: Iterable[Mapping[str, Any]],
) -> Entry:
    """Encode the texts and write the files; return the part's entry for the manifest.

    Parameters
    ----------
    task : ArtefactTask
        The set.
    table : ProfileTable
        The texts.
    encoder : TextEncoder
        Encodes them.
    work : pathlib.Path
        Folder for unfinished encoding.
    counted : dict
        What the entry records of questions and replies.
    rows : iterable of mapping
        Lines of ``profiles.jsonl``.
    """
    training = task.training
    plan = plan_encoding(table.texts, encoder, task.settings.encoder_batch_size)
    encoded, seconds = encode_texts(plan, encoder, work, task.show_progress, "profile vectors")
    shape = (len(training.user_tokens), table.width)
    vectors = np.zeros((*shape, encoder.dim), dtype=np.float16)
    present = np.zeros(shape, dtype=bool)
    vectors[table.users, table.columns] = encoded
    present[table.users, table.columns] = plan.rows >= 0
    return {
        "users": shape[0],
        "domains": training.domain_names,
        "dim": encoder.dim,
        "profiles": int(present.sum()),
        **counted,
        "encoder": task.settings.encoder,
        "encoder_revision": encoder.folder.revision,
        "weights_sha256": encoder.weights_sha256,
        "encoder_cut_texts": int((plan.tokens > encoder.max_length).sum()),
        "encoder_seconds": round(seconds, 2),
        "made_with": {"recbole_edt": recbole_edt.__version__},
        "sha256": save_profiles(task.folder, training.user_tokens, vectors, present, rows),
    }
