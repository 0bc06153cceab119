"""What of a configuration makes it another run: the values that a run's id is a hash of."""

from collections.abc import Mapping
from typing import Any

# Keys that are younger than the first release, each with the value under which a run is what it was
# before the key existed. Such a value is left out, so that runs made before are still found.
_UNCHANGED: Mapping[str, Any] = {
    "align_phase": "domain",
    "item_vectors": "frozen",
    "item_vectors_learning_rate": None,
    "llm_repetition_penalty": 1.1,
    "llm_sampling": {},
    "llm_structured": False,
    "sparse_updates": False,
    "fold": None,
    "fold_share": 0.1,
    "folds": 3,
    "split_group": "user",
    "split_order": "time",
    "split_ratios": [0.8, 0.1, 0.1],
    "split_seed": 2026,
    "tail_ratio": 0.1,
    "precision": "float32",
    "valid_users": None,
    "final_fit": False,
    "augment_pairs": "all",
    "augment_representatives": 8,
    "augment_items_per_representative": 3,
    "augment_examples": 2,
    "augment_noise_floor": 0.2,
    "augment_noise_share": 0.75,
    "augment_noise_items": 200,
    "profile_groups": 4,
    "profile_items_per_group": 10,
    "profile_augmented": True,
    "profile_users": "all",
    "profile_most_shared": 3,
    "target_smoothing": 0.0,
    "target_smoothing_temperature": 0.05,
    "target_smoothing_neighbours": 20,
}
# The same for a phase's own keys, such as ``shared_target_smoothing``: left out where not set.
_UNSET = ("_target_smoothing", "_target_smoothing_temperature", "_target_smoothing_neighbours")


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a complete configuration that tells one run from another.

    Parameters
    ----------
    settings : mapping
        Plain values, such as ``EDTConfig.to_dict()`` returns.

    Returns
    -------
    dict
        Without keys added since the first release that have the value which changes nothing.

    Examples
    --------
    >>> identity({"epochs": 3, "align_phase": "domain"})
    {'epochs': 3}
    >>> identity({"epochs": 3, "align_phase": "shared"})
    {'epochs': 3, 'align_phase': 'shared'}
    """
    unchanged = {key for key, value in _UNCHANGED.items() if settings.get(key) == value}
    unchanged |= {k for k, value in settings.items() if _is_unset(k, value)}
    return {k: v for k, v in settings.items() if k not in unchanged}


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the keys that are younger than the run.

    They have the values under which the run is what it was before they existed, so that equal
    configurations of several versions are equal.

    Parameters
    ----------
    settings : mapping
        Plain values of a finished run.

    Examples
    --------
    >>> completed({"epochs": 3}) == completed({"epochs": 3, "final_fit": False})
    True
    """
    return {**_UNCHANGED, **{k: v for k, v in settings.items() if not _is_unset(k, v)}}


def _is_unset(key: str, value: Any) -> bool:
    return value is None and key.endswith(_UNSET)
