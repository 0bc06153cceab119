"""The configuration keys of the augmenter, checked where augmented interactions are made."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recbole_edt.config import checked_keys

LLM_MODES = ("select", "score", "generate")
"""The modes in which a language model chooses; the others are rules without one."""
TITLES, USERS = "similarity", "cooccurrence"
"""What makes an item a candidate: its title, or users in common."""


@dataclass(frozen=True)
class AugmentSettings:
    """The configuration keys that start with ``augment_``; docs/keys.md explains them.

    Attributes
    ----------
    augment_mode : str
        Who chooses from the candidates.
    augment_pool_by : str
        `TITLES` or `USERS`.
    augment_imbalance : float
        Least share of the dominant domain, in [0, 1].
    augment_rate : float
        Proposals per interaction that the sparse domain lacks.
    augment_cap : int
        Most proposals per user and domain.
    augment_pool : int
        Most candidates per user and domain.
    augment_floor : float
        Least cosine similarity, in [-1, 1]; not for a pool by users in common.
    augment_history : int
        Titles of the user in a prompt.
    augment_seed : int
        Of the draws of the mode `random`.
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

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "AugmentSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            For a missing key, a value of the wrong type or out of range; the message names it.
        """
        return cls(**checked_keys(config, [field.name for field in fields(cls)]))

    @property
    def asks(self) -> bool:
        """Whether a language model is asked."""
        return self.augment_mode in LLM_MODES
