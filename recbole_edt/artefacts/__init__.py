"""Artefacts: what language models add to a dataset, made once and kept as files.

`find_artefacts` gives the `ArtefactSet` that a configuration asks for; `artefacts.make` makes one.
The parts are made in the subpackages `embeddings`, `augmenter` and `profiles`; `probe` measures
the augmenter.
"""

from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.store import (
    AUGMENT,
    EMBEDDINGS,
    PARTS,
    PROFILES,
    ArtefactSet,
    find_artefacts,
)

__all__ = [
    "AUGMENT", "EMBEDDINGS", "PARTS", "PROFILES", "ArtefactSet", "ArtefactSettings", "Catalogue",
    "find_artefacts", "read_catalogue",
]  # fmt: skip
