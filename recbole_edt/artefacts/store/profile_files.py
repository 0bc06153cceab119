"""The files of the profiles in a set: texts for people, vectors for the model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.settings import GROUPED
from recbole_edt.artefacts.store import vector_files
from recbole_edt.errors import UserError
from recbole_edt.files import digest, replacing, sha256_of

TEXTS, VECTORS, USERS = "profiles.jsonl", "profile_vectors.safetensors", "users.txt"
NAMES = (TEXTS, VECTORS, USERS)
REQUIRED = {"users", "domains", "dim", "sha256"}
"""Keys of the manifest's entry without which the files cannot be read."""

_TENSOR, _PRESENT = "profile_vectors", "present"

OVERALL = "overall"
"""Key of the manifest's entry: whether there is one profile per user, of all domains. In
``profiles.jsonl`` the stage of its text; the other stage is `GROUP`."""
GROUP = "group"


def save_profiles(
    folder: Path,
    users: Sequence[str],
    vectors: np.ndarray,
    present: np.ndarray,
    texts: Iterable[Mapping[str, Any]],
) -> dict[str, str]:
    """Write profiles and return the hash of each file's content.

    Parameters
    ----------
    folder : pathlib.Path
        Of the set.
    users : sequence of str
        The U users.
    vectors, present : numpy.ndarray
        float16 [U, P, m], and bool [U, P]: where there is a profile; P is the number of domains,
        or 1 for overall profiles.
    texts : iterable of mapping
        ``user_id``, ``domain``, ``text`` and ``n_items`` of each profile; of grouped ones also
        ``stage`` and ``group``.
    """
    with (
        replacing(folder / TEXTS) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        for line in texts:
            file.write(json.dumps(dict(line), ensure_ascii=False) + "\n")
    tensors = {_TENSOR: vectors, _PRESENT: present}
    return {
        TEXTS: sha256_of(folder / TEXTS),
        VECTORS: vector_files.save_tensors(folder / VECTORS, tensors),
        USERS: vector_files.save_list(folder / USERS, users),
    }


def read_profiles(
    folder: Path,
    entry: Mapping[str, Any],
    users: Sequence[str] | np.ndarray,
    domains: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors and presence of some users; see `ArtefactSet.profiles`."""
    path = folder / VECTORS
    tensors = vector_files.read_tensors(path, (_TENSOR, _PRESENT))
    known = vector_files.read_list(folder / USERS)
    shape = (entry["users"], 1 if entry.get(OVERALL) else len(entry["domains"]), entry["dim"])
    vector_files.expect(path, tensors[_TENSOR], np.float16, shape)
    vector_files.expect(path, tensors[_PRESENT], np.bool_, shape[:2])
    if len(known) != shape[0]:
        raise UserError(
            f"{folder / USERS}: has {len(known)} users for {shape[0]} rows of profiles; "
            "delete the folder to make it anew"
        )
    hashes = {VECTORS: sha256_of(path), USERS: digest(known), TEXTS: _hash(folder / TEXTS)}
    vector_files.check_hashes(folder, entry, hashes)
    if not np.isfinite(tensors[_TENSOR]).all():
        raise UserError(f"{path}: holds numbers that are not finite")
    if list(domains) != list(entry["domains"]):
        raise UserError(
            f"{path}: profiles of the domains {list(entry['domains'])}, expected {list(domains)}"
        )
    rows = pd.Index(known, dtype=object).get_indexer(np.asarray(users, dtype=object))
    if len(rows) and (rows < 0).all():
        raise UserError(
            f"{folder / USERS}: profiles of other users: none of the {len(rows)} is in it, "
            f"the first is {str(users[0])!r}"
        )
    # Row -1 is the appended one of zeros: a user who is not known.
    vectors = np.concatenate([tensors[_TENSOR], np.zeros((1, *shape[1:]), np.float16)])
    present = np.concatenate([tensors[_PRESENT], np.zeros((1, shape[1]), np.bool_)])
    return vectors[rows].astype(np.float32), present[rows]


def read_texts(folder: Path) -> pd.DataFrame:
    """Return the texts of all profiles: ``user_id``, ``domain``, ``text``, ``n_items``.

    Those of grouped profiles are of two stages: groups, and the overall ones, whose domain is
    empty. The columns ``stage`` and ``group`` are empty for other profiles.

    Raises
    ------
    UserError
        When the file is missing, or a line of it is not such a record.
    """
    path = folder / TEXTS
    columns = [fields.USER, fields.DOMAIN, "text", "n_items"]
    rows = []
    for number, line in enumerate(vector_files.read_list(path), start=1):
        try:
            row = json.loads(line)
            stages = [row.get("stage", ""), row.get("group", "")]
            rows.append([row[column] for column in columns] + stages)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: line {number} is not a profile ({type(error).__name__}: {error})"
            ) from None
    return pd.DataFrame(rows, columns=[*columns, "stage", "group"])


def check_mode(path: Path, entry: Mapping[str, Any], wanted: str) -> None:
    """Refuse profiles of another `profile_mode` than the set's, and grouped ones not merged."""
    made = entry.get("mode", wanted)
    if made != wanted:
        raise UserError(
            f"{path}: profiles were made for profile_mode {made!r}, expected {wanted!r}; delete "
            "their entry 'profiles' from it and make them anew"
        )
    if wanted == GROUPED and not entry.get(OVERALL):
        raise UserError(
            f"{path}: grouped profiles without the merged one of each user; delete their entry "
            "'profiles' from it and make them anew"
        )


def _hash(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return sha256_of(path)
