"""All keys that have a rule of their own, by name."""

from collections.abc import Collection, Mapping
from typing import Any

from recbole_edt.config.keys import artefacts, data, evaluation, models, training
from recbole_edt.config.keys.base import KeyGroup
from recbole_edt.config.rules import KeyRule

SHARED, DOMAIN = "shared", "domain"
"""The phases of `LLMEDT`."""

GROUPS: tuple[type[KeyGroup], ...] = (
    data.RunKeys,
    data.DataKeys,
    data.ColumnKeys,
    evaluation.EvaluationKeys,
    evaluation.ContentExpertKeys,
    training.PhaseTrainingKeys,
    training.TrainingKeys,
    training.PhasesKeys,
    artefacts.ItemVectorsKeys,
    artefacts.LanguageModelKeys,
    artefacts.AugmenterKeys,
    artefacts.ProfilesKeys,
    models.ArtefactsKeys,
    models.ItemsKeys,
    models.LossKeys,
    models.TargetSmoothingKeys,
    models.EncoderKeys,
    models.DomainPhaseKeys,
    models.UntrainedKeys,
    models.StockKeys,
)
RULES: Mapping[str, KeyRule] = {k: rule for group in GROUPS for k, rule in group.rules().items()}
PER_PHASE = tuple(key for key, rule in RULES.items() if rule.per_phase)
"""Keys of which a phase may have its own, ``PHASE_KEY``, used in place of the general one."""


def general_key(key: str, phases: Collection[str]) -> str:
    """Return the key that a phase's own key such as ``shared_epochs`` is used in place of.

    Parameters
    ----------
    key : str
        Any key; returned as it is unless it is a phase's own.
    phases : collection of str
        The phases that the model declares.
    """
    for phase in phases:
        general = key.removeprefix(f"{phase}_")
        if general != key and general in PER_PHASE:
            return general
    return key


def value_in_phase(config: Any, phase: str, key: str) -> Any:
    """Return the phase's own value of a key where it is set, else the general one.

    Parameters
    ----------
    config : EDTConfig
        Keys that it lacks are None.
    phase, key : str
        Such as ``shared`` and ``epochs``.
    """
    specific = config[f"{phase}_{key}"]
    return config[key] if specific is None else specific
