"""Sets of artefacts on disk: identity, lookup, reading and recording; docs/artefacts.md.

A set is a folder ``<dataset>/artefacts/<hash>/``. Its hash covers only what a run knows
beforehand, so that a run finds the set without the models that made it; what is learnt while
making it is in ``manifest.json``. The manifest is written after the files of a part, so a part
that it lists is complete.
"""

from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.store.artefact_set import ArtefactSet, load_set
from recbole_edt.artefacts.store.augmented_file import ANCHOR, MODE, SCORE, save_augmented
from recbole_edt.artefacts.store.identity import (
    AUGMENT,
    EMBEDDINGS,
    PARTS,
    PROFILES,
    Entry,
    set_folder,
    set_hash,
)
from recbole_edt.artefacts.store.lookup import (
    embedded_dir,
    find_artefacts,
    find_set,
    find_source_set,
    identity_now,
    no_such_vectors,
    refuse_other_artefacts,
    require_set,
)
from recbole_edt.artefacts.store.profile_files import GROUP, OVERALL, save_profiles
from recbole_edt.artefacts.store.recording import exclusive_lock, record_part, share_part
from recbole_edt.artefacts.store.vector_files import save_item_vectors

__all__ = [
    "ANCHOR", "AUGMENT", "EMBEDDINGS", "GROUP", "MODE", "OVERALL", "PARTS", "PROFILES", "SCORE",
    "ArtefactSet", "ArtefactSettings", "Entry", "embedded_dir", "exclusive_lock", "find_artefacts",
    "find_set", "find_source_set", "identity_now", "load_set", "no_such_vectors",
    "record_part", "refuse_other_artefacts",
    "require_set", "save_augmented", "save_item_vectors", "save_profiles", "set_folder",
    "set_hash", "share_part",
]  # fmt: skip
