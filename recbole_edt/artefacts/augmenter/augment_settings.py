"""The configuration keys of the augmenter, checked where augmented interactions are made."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from recbole_edt.errors import UserError, nearest

LLM_MODES = ("select", "score", "generate")
BASELINES = ("similarity", "popularity", "random")
MODES = LLM_MODES + BASELINES
"""Who chooses from the pool: a language model in one of three ways, or a rule without one."""
TITLES, USERS = "similarity", "cooccurrence"
POOLS = (TITLES, USERS)
"""What makes an item a candidate: its title, or users in common."""

_WHOLE = ("augment_cap", "augment_pool", "augment_history")
_ONE_OF = {"augment_mode": MODES, "augment_pool_by": POOLS}
_RANGES = {
    "augment_imbalance": (0.0, 1.0),
    "augment_rate": (0.0, float("inf")),
    "augment_floor": (-1.0, 1.0),
}


@dataclass(frozen=True)
class AugmentSettings:
    """The configuration keys that start with ``augment_``; `properties/overall.yaml` explains them.

    Attributes
    ----------
    augment_mode : str
        One of `MODES`.
    augment_pool_by : str
        One of `POOLS`.
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
        values = {}
        for key in (field.name for field in fields(cls)):
            if key not in config:
                raise UserError(f"{key}: missing from the configuration")
            values[key] = config[key]
        for key, known in _ONE_OF.items():
            if values[key] not in known:
                raise UserError(
                    f"{key}: {values[key]!r} is unknown; expected one of {', '.join(known)}"
                    f"{nearest(str(values[key]), known)}"
                )
        seed = values["augment_seed"]
        if type(seed) is not int:
            raise UserError(f"augment_seed: {seed!r} is not a whole number")
        for key in _WHOLE:
            if type(values[key]) is not int or values[key] < 1:
                raise UserError(f"{key}: {values[key]!r} is not a whole number of 1 or more")
        for key, (low, high) in _RANGES.items():
            value = values[key]
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not isfinite(value) or not low <= value <= high:
                upper = f" to {high:g}" if isfinite(high) else " or more"
                raise UserError(f"{key}: {value!r} is not a number of {low:g}{upper}")
        return cls(**values)

    @property
    def asks(self) -> bool:
        """Whether a language model is asked."""
        return self.augment_mode in LLM_MODES
