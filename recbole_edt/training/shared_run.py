"""Taking the shared phase over from a finished run, so that only the domain phase is trained."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.store import identity_now, set_hash
from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.config.schema import SHARED
from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import read_json
from recbole_edt.training import checkpoint
from recbole_edt.training.phases import PhaseSettings

_KEY = "shared_run"
_TWO_PHASED, _SHARED_MODEL = "LLMEDT", "SASRecLLM"
# What the shared phase does not depend on: what is built on top of it, what is told of it on test,
# and where it is written. A key that is not here has to be equal.
_OF_LATER = ("domain_", "adapter_", "profile", "expert_")
_OF_AUGMENTER = ("augment_", "llm")
_ELSEWHERE = frozenset((
    "model", "recipe", "phases", "beta", "temperature", _KEY,
    "content_expert", "group_edges", "sampled_candidates",
    "data_path", "output_dir", "show_progress", "log_tensorboard", "log_wandb", "wandb_project",
))  # fmt: skip


def shared_settings(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what decides the shared phase of a run: equal for two runs, they share it.

    It is equal for a `SASRecLLM`, which is a shared phase alone, and an `LLMEDT` that begins with
    the same one.

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
    if model != _SHARED_MODEL and "phases" not in settings:
        return None
    phase = {"model": _SHARED_MODEL if model == _TWO_PHASED else model}
    for field in fields(PhaseSettings):
        if field.name in settings:
            own = settings.get(f"{SHARED}_{field.name}")
            phase[field.name] = settings[field.name] if own is None else own
    unused = (f"{SHARED}_", *_OF_LATER, *(() if settings.get("augment") else _OF_AUGMENTER))
    rest = {
        key: value
        for key, value in settings.items()
        if key not in _ELSEWHERE and not key.startswith(unused)
    }
    return {**rest, **phase}


class FinishedPhase(NamedTuple):
    """What a run's shared phase left: its entry in ``metrics.json``, curves and all weights."""

    phase: dict[str, Any]
    curves: list[dict[str, Any]]
    tensors: dict[str, Tensor]


def finished_phase(folder: Path, name: str, config: Any, valid: Targets) -> FinishedPhase:
    """Read the shared phase of a finished run.

    Weights of the shared phase are frozen after it, so that the final checkpoint holds them. A
    `SASRecLLM` is a shared phase too.

    Parameters
    ----------
    folder : pathlib.Path
        The run's folder.
    name : str
        What the phase is called.
    config : EDTConfig
        Of the new run.
    valid : Targets
        Gives the split.

    Raises
    ------
    UserError
        When the folder holds no such run, or one of another split, other artefacts, another seed
        or shared phase.
    """
    if not (folder / "metrics.json").is_file():
        raise UserError(f"{_KEY}: {folder}: found no metrics.json, expected a finished run")
    metrics = read_json(folder / "metrics.json")
    # Keys that are younger than the run have their default.
    their_config = EDTConfig(config_files=[str(folder / "config.yaml")])
    theirs = shared_settings(their_config.to_dict())
    if theirs is None:
        expected = f"{config['model']} or {_SHARED_MODEL}"
        raise UserError(f"{_KEY}: {folder}: model is {their_config['model']}, expected {expected}")
    for key, value in (shared_settings(config.to_dict()) or {}).items():
        if theirs[key] != value:
            raise UserError(f"{_KEY}: {folder}: {key} is {theirs[key]!r}, expected {value!r}")
    split = valid.part.split
    found = {"split": metrics["protocol"]["split_hash"][:12]}
    wanted = {"split": split.hash[:12]}
    if metrics["artefacts"] is not None:
        settings = ArtefactSettings.from_config(their_config)
        identity = identity_now(config.dataset_dir, config["dataset"], settings, split)
        found["artefacts"] = metrics["artefacts"]["hash"]
        wanted["artefacts"] = set_hash(identity)
    for what, value in found.items():
        if value != wanted[what]:
            raise UserError(
                f"{_KEY}: {folder}: {what} {value}, but as the dataset is now {wanted[what]}: its "
                "interactions, titles or domains, or this package, have changed"
            )
    state = checkpoint.load_state(folder / "checkpoint")
    if state is None:
        raise UserError(f"{_KEY}: {folder}/checkpoint: no such folder; nothing to take over")
    tensors, info = state
    first = info["phases"][0]
    curves = [row | {"phase": name} for row in info["curves"] if row["phase"] == first["name"]]
    return FinishedPhase({**first, "name": name}, curves, tensors)
