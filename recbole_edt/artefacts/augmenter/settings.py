"""The configuration keys of the augmenter."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recbole_edt.artefacts.settings import REPRESENTATIVES
from recbole_edt.config import checked_keys

LLM_MODES = ("select", "score", "generate")
"""Values of `augment_mode` by which a language model chooses from a candidate set.

``representatives`` is a mode of its own; the others are rules without a language model.
"""


@dataclass(frozen=True)
class AugmentSettings:
    """The configuration keys that start with ``augment_``, as they are in the configuration.

    Attributes
    ----------
    augment_mode : str
        ``representatives``, one of `LLM_MODES`, or ``similarity``, ``popularity``, ``random``.
    augment_pool_by : str
        Candidates by titles (``similarity``) or by users in common (``cooccurrence``).
    augment_imbalance : float
        Least share of the dominant domain, in [0, 1].
    augment_rate : float
        Proposals per interaction that the sparse domain lacks.
    augment_cap : int
        Most proposals per user and domain.
    augment_pool : int
        Most candidates per user and domain.
    augment_floor : float
        Least cosine similarity, in [-1, 1]; not for candidates by users in common.
    augment_history : int
        Titles of the user in a prompt.
    augment_seed : int
        Seed of the modes ``random`` and ``representatives``.
    augment_pairs : str
        ``all`` ordered pairs of a user's domains, or those into ``sparse`` domains only.
    augment_representatives, augment_items_per_representative : int
        Most representative items per user and domain, and items of the history for each.
    augment_examples : int
        Other users that a prompt shows.
    augment_noise_floor : float
        Least cosine similarity of a generated title to a representative item.
    augment_noise_share : float
        Share of random items that it must be nearer than, in [0, 1].
    augment_noise_items : int
        Random items of each domain.
    llm_repetition_penalty : float
        Of a model in this process; 1 or more.
    """

    augment_mode: str
    augment_pool_by: str
    augment_imbalance: float
    augment_rate: float
    augment_cap: int
    augment_pool: int
    augment_floor: float
    augment_history: int
    augment_seed: int
    augment_pairs: str
    augment_representatives: int
    augment_items_per_representative: int
    augment_examples: int
    augment_noise_floor: float
    augment_noise_share: float
    augment_noise_items: int
    llm_repetition_penalty: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "AugmentSettings":
        """Take the keys out of a configuration; `UserError` for a value that breaks its rule."""
        return cls(**checked_keys(config, [field.name for field in fields(cls)]))

    @property
    def asks_model(self) -> bool:
        """Whether a language model is asked."""
        return self.augment_mode in (REPRESENTATIVES, *LLM_MODES)

    @property
    def by_users(self) -> bool:
        """Whether candidates are found by users in common."""
        return self.augment_pool_by == "cooccurrence"
