"""A dataset's item vectors, profiles and augmented interactions, read from its artefacts."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts.settings import SETTING_KEYS, refuse_to_encode
from recbole_edt.artefacts.store import (
    ANCHOR,
    AUGMENT,
    EMBEDDINGS,
    PROFILES,
    ArtefactSet,
    ArtefactSettings,
    find_artefacts,
    no_such_vectors,
)
from recbole_edt.artefacts.suggestion import suggest
from recbole_edt.config import SPLIT_KEYS
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.inputs import AugmentedRows, Tokens
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError

if TYPE_CHECKING:
    from recbole_edt.config import EDTConfig


class ArtefactInputs:
    """The set of artefacts that a configuration asks for, as `TextInputs` of its dataset.

    Parameters
    ----------
    config : EDTConfig
        The configuration.
    split : Split
        The split of the dataset.

    Attributes
    ----------
    parts_read : set of str
        The parts that have been read: `EMBEDDINGS`, `AUGMENT`, `PROFILES`.
    """

    def __init__(self, config: "EDTConfig", split: Split):
        self._config, self._split = config, split
        self.parts_read: set[str] = set()

    @cached_property
    def _settings(self) -> ArtefactSettings:
        return ArtefactSettings.from_config(self._config)

    def find(self) -> ArtefactSet | None:
        """Return the set, None when nothing of it has been made."""
        folder, name = self._config.dataset_dir, self._config["dataset"]
        return find_artefacts(folder, name, self._settings, self._split)

    def item_vectors(self, items: Tokens) -> np.ndarray:
        """See `TextInputs.item_vectors`."""
        found = self.find()
        if found is None:
            config, encoder = self._config, self._config["encoder"]
            if self._settings.made_elsewhere:
                raise UserError(no_such_vectors(encoder, config.dataset_dir, config["dataset"]))
            raise UserError(self._missing(EMBEDDINGS, f"item vectors of encoder {encoder!r}"))
        vectors = found.item_vectors(items)
        self.parts_read.add(EMBEDDINGS)
        return vectors

    def profile_vectors(
        self, users: Tokens, domains: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `TextInputs.profile_vectors`."""
        found = self._with_part(PROFILES, "profiles of these settings")
        vectors = found.profiles(users, domains)
        self.parts_read.add(PROFILES)
        return vectors

    def augmented_rows(
        self, users: Collection[str], item_domains: Mapping[str, str]
    ) -> AugmentedRows:
        """See `TextInputs.augmented_rows`."""
        what = "augmented interactions of these settings"
        found = self._with_part(AUGMENT, what, ", or set augment: False")
        frame = found.augmented(users, item_domains)
        assert frame is not None
        self.parts_read.add(AUGMENT)
        columns = (frame[name].to_numpy() for name in (fields.USER, fields.ITEM, ANCHOR))
        return AugmentedRows(*columns)

    def require(self, part: str) -> None:
        """Refuse a set without one of its parts, `AUGMENT` or `PROFILES`, without reading it."""
        self._with_part(part, f"{part} of these settings for {self._split.kind}")

    def _with_part(self, part: str, what: str, otherwise: str = "") -> ArtefactSet:
        """Return the set, which has to have one of its parts."""
        found = self.find()
        if found is None or not found.has(part):
            refuse_to_encode(self._settings, (part,))
            raise UserError(self._missing(part, what) + otherwise)
        return found

    def _missing(self, part: str, what: str) -> str:
        """Return the message for a missing part, with the command that makes it."""
        config = self._config
        keys = ("data_path", *SPLIT_KEYS, "recipe", *SETTING_KEYS)
        command = suggest(config, keys, "artefacts", config["dataset"], "--only", part)
        return f"{config.dataset_dir}/artefacts: no {what}; make them with `{command}`"


def attach_artefacts(dataset: CrossDomainDataset) -> ArtefactInputs:
    """Let a dataset read the artefacts that its configuration asks for; call it before `build`."""
    dataset.text_inputs = inputs = ArtefactInputs(dataset.config, dataset.split)
    return inputs
