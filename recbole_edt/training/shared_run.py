"""Reuse of the shared phase of a finished run, so that only the domain phase is trained."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.store import identity_now, set_hash
from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.config.schema import SHARED
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import read_json
from recbole_edt.training import checkpoint
from recbole_edt.training.history import History
from recbole_edt.training.phase_settings import PhaseSettings

_KEY = "shared_run"
_TWO_PHASED, _SHARED_MODEL = "LLMEDT", "SASRecLLM"
# What the shared phase does not depend on: what is built on top of it, what is measured of it on
# test, and where it is written. A key that is not here has to be equal.
_OF_LATER = ("domain_", "adapter_", "profile", "expert_")
_OF_AUGMENTER = ("augment_", "llm")
_ELSEWHERE = frozenset((
    "model", "recipe", "phases", "beta", "temperature", _KEY,
    "content_expert", "group_edges", "sampled_candidates",
    "data_path", "output_dir", "show_progress", "log_tensorboard", "log_wandb", "wandb_project",
))  # fmt: skip


def shared_settings(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings that determine the shared phase: runs with equal ones can reuse it.

    They are equal for a `SASRecLLM`, which is nothing but a shared phase, and an `LLMEDT` that
    begins with the same one.

    Parameters
    ----------
    settings : mapping
        The complete configuration, as in a run's ``config.yaml``.

    Returns
    -------
    dict or None
        None for a model without such a phase.
    """
    model = settings["model"]
    if model not in (_SHARED_MODEL, _TWO_PHASED):
        return None
    phase = {"model": _SHARED_MODEL}
    for field in fields(PhaseSettings):
        if field.name in settings:
            specific = settings.get(f"{SHARED}_{field.name}")
            phase[field.name] = settings[field.name] if specific is None else specific
    unused = (f"{SHARED}_", *_OF_LATER, *(() if settings.get("augment") else _OF_AUGMENTER))
    rest = {
        key: value
        for key, value in settings.items()
        if key not in _ELSEWHERE and not key.startswith(unused)
    }
    return {**rest, **phase}


def reuse_first_phase(folder: Path, name: str, config: Any, valid: Targets, model: Any) -> History:
    """Load the shared phase of a finished run into a model.

    Weights of the shared phase are frozen after it, so that the final checkpoint holds them. A
    `SASRecLLM` is a shared phase too.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder.
    name : str
        What the phase is called in the new run.
    config : EDTConfig
        Of the new run.
    valid : Targets
        Gives the split.
    model : RecBole model
        Gets the weights; see `recbole_edt.model.protocols.ReusesPhase`.

    Returns
    -------
    History
        The phase's record and curves.

    Raises
    ------
    UserError
        When the folder holds no such run, or one of another split, other artefacts, another seed
        or shared phase. Nothing has been loaded then.
    """
    if not (folder / "metrics.json").is_file():
        raise UserError(f"{_KEY}: {folder}: found no metrics.json, expected a finished run")
    # Keys that are younger than the run have their default.
    source_config = EDTConfig(config_files=[str(folder / "config.yaml")])
    _refuse_other_settings(folder, source_config, config)
    _refuse_other_inputs(folder, source_config, config, valid.part.split)
    saved = checkpoint.load_state(folder / "checkpoint")
    if saved is None:
        raise UserError(f"{_KEY}: {folder}/checkpoint: no such folder; nothing to reuse")
    model.reuse_phase(checkpoint.model_weights(saved.tensors))
    first = saved.values["phases"][0]
    rows = [row for row in saved.values["curves"] if row["phase"] == first["name"]]
    return History([{**first, "name": name}], [row | {"phase": name} for row in rows])


def _refuse_other_settings(folder: Path, source_config: EDTConfig, config: EDTConfig) -> None:
    source = shared_settings(source_config.to_dict())
    if source is None:
        expected = f"{config['model']} or {_SHARED_MODEL}"
        raise UserError(f"{_KEY}: {folder}: model is {source_config['model']}, expected {expected}")
    for key, value in (shared_settings(config.to_dict()) or {}).items():
        if source[key] != value:
            raise UserError(f"{_KEY}: {folder}: {key} is {source[key]!r}, expected {value!r}")


def _refuse_other_inputs(
    folder: Path, source_config: EDTConfig, config: EDTConfig, split: Split
) -> None:
    metrics = read_json(folder / "metrics.json")
    pairs = {"split": (metrics["protocol"]["split_hash"][:12], split.hash[:12])}
    if metrics["artefacts"] is not None:
        settings = ArtefactSettings.from_config(source_config)
        identity = identity_now(config.dataset_dir, config["dataset"], settings, split)
        pairs["artefacts"] = (metrics["artefacts"]["hash"], set_hash(identity))
    for what, (recorded, present) in pairs.items():
        if recorded != present:
            raise UserError(
                f"{_KEY}: {folder}: {what} {recorded}, but as the dataset is now {present}: its "
                "interactions, titles or domains, or this package, have changed"
            )
