"""Encoding the texts of profiles and writing the part `profiles` of a set."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recbole_edt
from recbole_edt import fields
from recbole_edt.artefacts.embeddings import TextEncoder, encode_texts, plan_encoding
from recbole_edt.artefacts.store import Entry, save_profiles
from recbole_edt.artefacts.task import ArtefactTask


def profile_row(
    user: str, domain: str, text: str, items: int, **stage: str | int
) -> dict[str, Any]:
    """Return a line of ``profiles.jsonl``: a text that is about so many items."""
    return {
        fields.USER: user,
        fields.DOMAIN: domain,
        "text": text,
        "n_items": int(items),
        **stage,
    }


def write_profiles(
    task: ArtefactTask,
    encoder: TextEncoder,
    work: Path,
    texts: Sequence[str],
    users: np.ndarray,
    domains: np.ndarray | None,
    counted: Entry,
    rows: Iterable[Mapping[str, Any]],
) -> Entry:
    """Encode the texts and write the files; return the part's entry for the manifest.

    Parameters
    ----------
    task : ArtefactTask
        The set.
    encoder : TextEncoder
        Encodes the texts.
    work : pathlib.Path
        Folder for unfinished encoding.
    texts : sequence of str
        Q texts, ``""`` where there is none.
    users, domains : numpy.ndarray
        int64 [Q], index into the user tokens and domain names; without domains there is one
        overall profile per user.
    counted : dict
        What the entry records of questions and replies.
    rows : iterable of mapping
        Lines of ``profiles.jsonl``.
    """
    training = task.training
    plan = plan_encoding(texts, encoder, task.settings.encoder_batch_size)
    encoded, seconds = encode_texts(plan, encoder, work, task.show_progress, "profile vectors")
    columns = np.zeros_like(users) if domains is None else domains
    shape = (len(training.user_tokens), 1 if domains is None else len(training.domain_names))
    vectors = np.zeros((*shape, encoder.dim), dtype=np.float16)
    present = np.zeros(shape, dtype=bool)
    vectors[users, columns] = encoded
    present[users, columns] = plan.rows >= 0
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
