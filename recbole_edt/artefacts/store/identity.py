"""Parts of a set, what each follows from, and the hash that a set is found by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.settings import VECTOR_KEYS
from recbole_edt.artefacts.store import augmented_file, profile_files, vector_files
from recbole_edt.files import digest

EMBEDDINGS, AUGMENT, PROFILES = "embeddings", "augment", "profiles"
PARTS = (EMBEDDINGS, AUGMENT, PROFILES)
"""Names of the parts of a set, on the command line and in the manifest."""

Identity = Mapping[str, Any]
"""All that the hash of a set covers; see `ArtefactSettings.identity`."""

Entry = dict[str, Any]
"""What the manifest records of one part; JSON values."""

MANIFEST = "manifest.json"
FILES = {
    EMBEDDINGS: vector_files.NAMES,
    AUGMENT: augmented_file.NAMES,
    PROFILES: profile_files.NAMES,
}
"""Files of each part."""

REQUIRED = {
    EMBEDDINGS: vector_files.REQUIRED,
    AUGMENT: augmented_file.REQUIRED,
    PROFILES: profile_files.REQUIRED,
}
"""Keys that the manifest's entry of each part has to have."""

_OF_USERS = ("catalogue", *VECTOR_KEYS, "split", "titles_and_domains")
FOLLOWS_FROM = {
    EMBEDDINGS: ("catalogue", *VECTOR_KEYS),
    AUGMENT: (*_OF_USERS, AUGMENT),
    PROFILES: (*_OF_USERS, PROFILES),
}
"""The entries of an identity that decide what is in a part."""


def set_hash(identity: Identity) -> str:
    """Return the name of the set of this identity: 12 hex digits."""
    return digest(dict(identity))[:12]


def set_folder(dataset_dir: Path, identity: Identity) -> Path:
    """Return the folder in which the set of this identity is made."""
    return dataset_dir / "artefacts" / set_hash(identity)
