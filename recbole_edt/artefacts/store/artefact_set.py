"""One set of artefacts: its manifest, and reading its parts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_edt.artefacts.settings import SCHEMA
from recbole_edt.artefacts.store import augmented_file, profile_files, vector_files
from recbole_edt.artefacts.store.identity import (
    AUGMENT,
    EMBEDDINGS,
    MANIFEST,
    PARTS,
    PROFILES,
    REQUIRED,
    Entry,
    Identity,
    set_hash,
)
from recbole_edt.errors import UserError
from recbole_edt.files import read_json


@dataclass(frozen=True)
class ArtefactSet:
    """One set; its item vectors may be read from another set that has the same ones.

    Attributes
    ----------
    path : pathlib.Path
        Its folder.
    hash : str
        Its name: 12 hex digits.
    manifest : dict
        The content of ``manifest.json``, with the entry of item vectors that another set has.
    vector_source : ArtefactSet or None
        The set that the item vectors are read from when this one has none.
    """

    path: Path
    hash: str
    manifest: dict[str, Any]
    vector_source: "ArtefactSet | None" = field(default=None, repr=False)

    @property
    def identity(self) -> Identity:
        """What the hash covers."""
        identity: Identity = self.manifest["identity"]
        return identity

    def has(self, part: str) -> bool:
        """Whether a part is complete."""
        return part in self.manifest

    def item_vectors(self, tokens: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the vectors of the given items.

        Parameters
        ----------
        tokens : sequence of str
            Item ids, without RecBole's padding id.

        Returns
        -------
        numpy.ndarray
            float32, shape [len(tokens), m], row i for ``tokens[i]``; zeros for an item
            without text.

        Raises
        ------
        UserError
            When an item is not in the set, or its files are damaged or disagree.
        """
        folder, entry = self._part(EMBEDDINGS)
        return vector_files.read_item_vectors(folder, entry, tokens)

    def profiles(
        self, users: Sequence[str] | np.ndarray, domains: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the profile vectors of the given users.

        Parameters
        ----------
        users : sequence of str
            User ids, without RecBole's padding id.
        domains : sequence of str
            The K domains of the dataset, in the order in which they are numbered.

        Returns
        -------
        numpy.ndarray
            float32, shape [len(users), P, m]; zeros where there is no profile. P is K, or 1 for
            grouped profiles: one overall profile per user.
        numpy.ndarray
            bool, shape [len(users), P]: where there is one. A user without any
            profile has none.

        Raises
        ------
        UserError
            When the profiles have not been made, are of other users or domains, or their
            files are damaged or disagree.
        """
        folder, entry = self._part(PROFILES)
        self._check_profile_mode()
        return profile_files.read_profiles(folder, entry, users, domains)

    def profile_texts(self) -> pd.DataFrame:
        """Return the texts of all profiles: ``user_id``, ``domain``, ``text``, ``n_items``.

        Raises
        ------
        UserError
            When they have not been made, or are malformed.
        """
        return profile_files.read_texts(self._part(PROFILES)[0])

    def augmented(
        self,
        users: Collection[str] | None = None,
        item_domains: Mapping[str, str] | None = None,
    ) -> pd.DataFrame | None:
        """Return the rows of ``augmented.inter``, None when they have not been made.

        Parameters
        ----------
        users : collection of str, optional
            All users of the dataset: any other in the file is an error.
        item_domains : mapping of str to str, optional
            The domain of each item of the dataset: any other item, anchor or domain in the
            file is an error.

        Returns
        -------
        pandas.DataFrame
            Columns ``user_id``, ``item_id``, ``timestamp`` (float64), ``domain``,
            ``anchor_item``, ``score`` (float64) and ``mode``, in file order.

        Raises
        ------
        UserError
            When the file is missing, malformed or not the one that was made; the message
            names its line.
        """
        if not self.has(AUGMENT):
            return None
        folder, entry = self._part(AUGMENT)
        return augmented_file.read_augmented(folder, entry, users, item_domains)

    def check(self, part: str) -> None:
        """Read a part and raise `UserError` when it is not as it was made."""
        folder, entry = self._part(part)
        if part == EMBEDDINGS:
            vector_files.read_item_vectors(folder, entry, [])
        elif part == PROFILES:
            self._check_profile_mode()
            profile_files.read_profiles(folder, entry, [], entry["domains"])
        else:
            augmented_file.read_augmented(folder, entry)

    def _check_profile_mode(self) -> None:
        wanted = self.identity.get("profiles", {}).get("profile_mode")
        if wanted is not None:
            profile_files.check_mode(self.path / MANIFEST, self.manifest[PROFILES], wanted)

    def _part(self, part: str) -> tuple[Path, Entry]:
        if not self.has(part):
            raise UserError(
                f"{self.path}: has no {part}; make them with 'recbole-edt artefacts --only {part}'"
            )
        source = self.vector_source if part == EMBEDDINGS else None
        return (source or self).path, self.manifest[part]


def load_set(folder: Path) -> ArtefactSet:
    """Return the set in `folder`; `UserError` when its manifest is malformed or not its own."""
    path = folder / MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        schema = manifest.get("schema") if isinstance(manifest, dict) else None
        raise UserError(f"{path}: schema is {schema!r}, expected {SCHEMA}")
    if not isinstance(manifest.get("identity"), dict):
        raise UserError(f"{path}: lacks 'identity'")
    for part in PARTS:
        entry = manifest.get(part, {})
        lacking = REQUIRED[part] - entry.keys() if isinstance(entry, dict) else REQUIRED[part]
        if part in manifest and (lacking or not isinstance(entry, dict)):
            raise UserError(f"{path}: '{part}' lacks {sorted(lacking)}")
    if set_hash(manifest["identity"]) != folder.name:
        raise UserError(f"{path}: describes the set {set_hash(manifest['identity'])}")
    return ArtefactSet(folder, folder.name, manifest)
