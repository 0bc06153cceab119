"""Sets of artefacts on disk: where they lie, what they were made from, and reading them.

A set is a folder ``<dataset>/artefacts/<hash>/`` (docs/artefacts.md has the format). Its hash
covers only what a run knows beforehand, so that a run finds the set without the models that
made it; what is learnt while making it stands in ``manifest.json``. The manifest is written
after the files of a part, so a part that it lists is complete.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd

import recbole_edt
from recbole_edt.artefacts.augmenter import augmented_file
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.embeddings import vector_files
from recbole_edt.artefacts.embeddings.vector_files import save_item_vectors
from recbole_edt.artefacts.profiles import profile_files
from recbole_edt.artefacts.settings import SCHEMA, VECTOR_KEYS, ArtefactSettings
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError, nearest
from recbole_edt.files import digest, read_json, replacing, write_json

__all__ = [
    "AUGMENT",
    "EMBEDDINGS",
    "PROFILES",
    "ArtefactSet",
    "ArtefactSettings",
    "find_artefacts",
    "save_item_vectors",
]

EMBEDDINGS, AUGMENT, PROFILES = "embeddings", "augment", "profiles"
PARTS = (EMBEDDINGS, AUGMENT, PROFILES)
"""Names of the parts of a set, on the command line and in the manifest."""

_MANIFEST = "manifest.json"
_FILES = {
    EMBEDDINGS: vector_files.NAMES,
    AUGMENT: augmented_file.NAMES,
    PROFILES: profile_files.NAMES,
}
_NEEDED = {
    EMBEDDINGS: vector_files.NEEDED,
    AUGMENT: augmented_file.NEEDED,
    PROFILES: profile_files.NEEDED,
}
_FOLLOWS_FROM = {
    EMBEDDINGS: ("catalogue", *VECTOR_KEYS),
    AUGMENT: ("catalogue", *VECTOR_KEYS, "split", "titles_and_domains", AUGMENT),
    PROFILES: ("catalogue", *VECTOR_KEYS, "split", "titles_and_domains", PROFILES),
}
"""The entries of an identity that decide what is in a part."""


@dataclass(frozen=True)
class ArtefactSet:
    """One set; item vectors may be lent to it by another set that has the same.

    Attributes
    ----------
    path : pathlib.Path
        Its folder.
    hash : str
        Its name: 12 hex digits.
    manifest : dict
        The content of ``manifest.json``, the entry of lent item vectors added.
    lender : ArtefactSet or None
        The set that the item vectors are read from when they are not its own.
    """

    path: Path
    hash: str
    manifest: dict[str, Any]
    lender: "ArtefactSet | None" = field(default=None, repr=False)

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
        folder, made = self._part(EMBEDDINGS)
        return vector_files.read_item_vectors(folder, made, tokens)

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
            float32, shape [len(users), K, m]; zeros where there is no profile.
        numpy.ndarray
            bool, shape [len(users), K]: where there is one. A user whom the profiles do not
            know has none.

        Raises
        ------
        UserError
            When the profiles have not been made, are of other users or domains, or their
            files are damaged or disagree.
        """
        folder, made = self._part(PROFILES)
        return profile_files.read_profiles(folder, made, users, domains)

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
        folder, made = self._part(AUGMENT)
        return augmented_file.read_augmented(folder, made, users, item_domains)

    def check(self, part: str) -> None:
        """Read a part and raise `UserError` when it is not as it was made."""
        folder, made = self._part(part)
        if part == EMBEDDINGS:
            vector_files.read_item_vectors(folder, made, [])
        elif part == PROFILES:
            profile_files.read_profiles(folder, made, [], made["domains"])
        else:
            augmented_file.read_augmented(folder, made)

    def _part(self, part: str) -> tuple[Path, dict[str, Any]]:
        if not self.has(part):
            raise UserError(
                f"{self.path}: has no {part}; make them with 'recbole-edt artefacts --only {part}'"
            )
        source = self.lender if self.lender and part == EMBEDDINGS else self
        return source.path, self.manifest[part]


def find_artefacts(
    dataset_dir: Path, name: str, settings: ArtefactSettings, split: Split
) -> ArtefactSet | None:
    """Return the set that these settings ask for, or None when nothing of it has been made.

    The dataset's own folder comes first, then the sets shipped with the package. Item vectors
    do not depend on the split, nor on what else is made from them: when the set has none, any
    set with the same ones lends them. The other parts come from the very set only.

    Parameters
    ----------
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.item``.
    name : str
        The dataset's name.
    settings : ArtefactSettings
        What the artefacts are to be made with.
    split : Split
        The split that they are to be made for.

    Raises
    ------
    UserError
        When ``NAME.item`` or the set's manifest is malformed.
    """
    return find_set(dataset_dir, name, identity_now(dataset_dir, name, settings, split))


def identity_now(
    dataset_dir: Path, name: str, settings: ArtefactSettings, split: Split
) -> dict[str, Any]:
    """Return the identity of the set that these settings ask for; see `find_artefacts`."""
    catalogue = read_catalogue(dataset_dir, name, settings.text_template)
    return settings.identity(catalogue, split)


def find_set(dataset_dir: Path, name: str, identity: Mapping[str, Any]) -> ArtefactSet | None:
    """Return the set of this identity, or None; see `find_artefacts`."""
    found = next(_exact(dataset_dir, name, identity), None)
    if found is not None and found.has(EMBEDDINGS):
        return found
    lender = find_lender(dataset_dir, name, identity, EMBEDDINGS)
    if lender is None:
        return found
    own = found.manifest if found else {"identity": dict(identity)}
    manifest = {**own, EMBEDDINGS: lender.manifest[EMBEDDINGS]}
    path = found.path if found else set_folder(dataset_dir, identity)
    return ArtefactSet(path, set_hash(identity), manifest, lender)


def find_lender(
    dataset_dir: Path, name: str, identity: Mapping[str, Any], part: str
) -> ArtefactSet | None:
    """Return a set whose part is the same as in the set of this identity: that one first."""
    for found in _exact(dataset_dir, name, identity):
        if found.has(part):
            return found
    wanted = {key: identity[key] for key in _FOLLOWS_FROM[part]}
    for root in _roots(dataset_dir, name):
        for manifest in sorted(root.glob(f"*/{_MANIFEST}")):
            found = load_set(manifest.parent)
            of_other = found.manifest["identity"]
            if found.has(part) and wanted == {key: of_other.get(key) for key in wanted}:
                return found
    return None


def require_set(
    dataset_dir: Path, name: str, wanted: str, identity: Mapping[str, Any]
) -> ArtefactSet:
    """Return the set of the given name (hash), which has to be the one of this identity.

    Raises
    ------
    UserError
        When there is no such set, or it was made for another catalogue, split or setting; the
        message names what differs.
    """
    folders = {path.parent.name: path.parent for root in reversed(_roots(dataset_dir, name))
               for path in root.glob(f"*/{_MANIFEST}")}  # fmt: skip
    if wanted not in folders:
        raise UserError(
            f"{dataset_dir / 'artefacts' / wanted}: no such set"
            f"{nearest(wanted, folders)}; there are {sorted(folders)}"
        )
    found = load_set(folders[wanted])
    of_other = found.manifest["identity"]
    differing = [key for key, value in identity.items() if of_other.get(key) != value]
    if differing:
        raise UserError(
            f"{found.path}: was made for another {' and another '.join(differing)}; "
            f"the configuration asks for the set {set_hash(identity)}"
        )
    return find_set(dataset_dir, name, identity) or found


def refuse_other_artefacts(
    run_dir: str | Path,
    wanted: str,
    dataset_dir: Path,
    name: str,
    identity: Mapping[str, Any],
) -> None:
    """Refuse a finished run that read other artefacts than its configuration asks for now.

    Parameters
    ----------
    run_dir : str or pathlib.Path
        The run's folder.
    wanted : str
        Hash of the set that it read.
    dataset_dir, name, identity
        As for `require_set`.

    Raises
    ------
    UserError
        Names both sets, and what differs as far as the run's is still there.
    """
    now = set_hash(identity)
    if wanted == now:
        return
    if (dataset_dir / "artefacts" / wanted / _MANIFEST).is_file():  # not, where vectors were lent
        require_set(dataset_dir, name, wanted, identity)
    raise UserError(
        f"run: {run_dir} read the artefacts {wanted}, but for {name} as it is now they would be "
        f"{now}: titles, domains or this package have changed; train again"
    )


def load_set(folder: Path) -> ArtefactSet:
    """Return the set in `folder`; `UserError` when its manifest is malformed or not its own."""
    path = folder / _MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise UserError(f"{path}: schema is {found!r}, expected {SCHEMA}")
    if not isinstance(manifest.get("identity"), dict):
        raise UserError(f"{path}: lacks 'identity'")
    for part in PARTS:
        made = manifest.get(part, {})
        lacking = _NEEDED[part] - made.keys() if isinstance(made, dict) else _NEEDED[part]
        if part in manifest and (lacking or not isinstance(made, dict)):
            raise UserError(f"{path}: '{part}' lacks {sorted(lacking)}")
    if set_hash(manifest["identity"]) != folder.name:
        raise UserError(f"{path}: describes the set {set_hash(manifest['identity'])}")
    return ArtefactSet(folder, folder.name, manifest)


def set_hash(identity: Mapping[str, Any]) -> str:
    """Return the name of the set of this identity: 12 hex digits."""
    return digest(dict(identity))[:12]


def set_folder(dataset_dir: Path, identity: Mapping[str, Any]) -> Path:
    """Return the folder in which the set of this identity is made."""
    return dataset_dir / "artefacts" / set_hash(identity)


def share_part(source: ArtefactSet, folder: Path, part: str) -> None:
    """Put the files of another set's part into `folder`, as hard links where these work."""
    for name in _FILES[part]:
        with replacing(folder / name) as temporary:
            try:
                temporary.hardlink_to(source.path / name)
            except OSError:
                temporary.write_bytes((source.path / name).read_bytes())


def record_part(
    folder: Path, dataset: str, identity: Mapping[str, Any], part: str, made: dict[str, Any]
) -> ArtefactSet:
    """Enter a finished part into the set's manifest and return the set."""
    path = folder / _MANIFEST
    # Parts of one set may be made by two processes at once.
    with filelock.FileLock(folder.parent / ".lock"):
        manifest = read_json(path) if path.exists() else {}
        manifest |= {"schema": SCHEMA, "dataset": dataset, "hash": folder.name}
        manifest |= {"identity": dict(identity), part: made}
        write_json(path, manifest)
    return load_set(folder)


def embedded_dir() -> Path:
    """Return the folder of what is shipped: inside the wheel, or the checkout's ``dataset/``."""
    package = Path(recbole_edt.__file__).parent
    inside = package / "embedded"
    return inside if inside.is_dir() else package.parent / "dataset"


def _roots(dataset_dir: Path, name: str) -> list[Path]:
    return [dataset_dir / "artefacts", embedded_dir() / name / "artefacts"]


def _exact(dataset_dir: Path, name: str, identity: Mapping[str, Any]) -> Iterator[ArtefactSet]:
    for root in _roots(dataset_dir, name):
        if (root / set_hash(identity) / _MANIFEST).exists():
            yield load_set(root / set_hash(identity))
