"""Reuse of the shared phase of a finished run, so that only the domain phase is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.store import identity_now, set_hash
from recbole_edt.config import EDTConfig
from recbole_edt.config.schema import DOMAIN, SHARED
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.training import checkpoint
from recbole_edt.training.phase import History, PhaseSettings

_KEY = "shared_run"
_TWO_PHASED, _SHARED_MODEL = "LLMEDT", "SASRecLLM"
# What the shared phase does not depend on: what is built on top of it, what is measured of it on
# test, and where it is written. A key that is not here has to be equal.
_OF_LATER = ("domain_", "adapter_", "profile", "expert_")
_OF_AUGMENTER = ("augment_", "llm")
_OF_ALIGNMENT = ("align_phase", "beta", "temperature")
_TRAINABLE = "trainable"
_ELSEWHERE = frozenset((
    "model", "recipe", "phases", *_OF_ALIGNMENT, _KEY,
    "content_expert", "group_edges", "sampled_candidates", "final_fit",
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
        None for a model without such a phase, and with trainable item vectors, which the domain
        phase changes: no checkpoint of the end holds those of the shared phase.
    """
    model = settings["model"]
    if model not in (_SHARED_MODEL, _TWO_PHASED) or settings.get("item_vectors") == _TRAINABLE:
        return None
    phase = {"model": _SHARED_MODEL}
    for field in fields(PhaseSettings):
        if field.name in settings:
            specific = settings.get(f"{SHARED}_{field.name}")
            phase[field.name] = settings[field.name] if specific is None else specific
    aligned = bool(settings.get("profiles")) and settings.get("align_phase", DOMAIN) != DOMAIN
    artefacts_read = settings.get("augment") or aligned
    unused = (f"{SHARED}_", *_OF_LATER, *(() if artefacts_read else _OF_AUGMENTER))
    rest = {
        key: value
        for key, value in settings.items()
        if key not in _ELSEWHERE and not key.startswith(unused)
    }
    if aligned:
        rest |= {k: settings[k] for k in settings if k in _OF_ALIGNMENT or k.startswith("profile")}
    return {**rest, **phase}


@dataclass(frozen=True)
class ReusableRun:
    """A finished run whose first phase may be reused.

    Attributes
    ----------
    path, checkpoint_dir : pathlib.Path
        Its folder, and that of its weights; those of the first fit where there was a final one.
    config : EDTConfig
        Its configuration; keys that are younger than the run have their default.
    split_hash : str
        Of the split that it was trained on.
    artefacts_hash : str, optional
        Of the artefacts that it read.
    """

    path: Path
    checkpoint_dir: Path
    config: EDTConfig
    split_hash: str
    artefacts_hash: str | None


def load_first_phase(
    source: ReusableRun, name: str, config: EDTConfig, split: Split, model: Any
) -> History:
    """Load the shared phase of a finished run into a model.

    Weights of the shared phase are frozen after it, so that the final checkpoint holds them. A
    `SASRecLLM` is a shared phase too.

    Parameters
    ----------
    source : ReusableRun
        The finished run.
    name : str
        What the phase is called in the new run.
    config : EDTConfig
        Of the new run.
    split : Split
        Of the new run.
    model : RecBole model
        Gets the weights; see `recbole_edt.model.protocols.ReusesPhase`.

    Returns
    -------
    History
        The phase's record and curves.

    Raises
    ------
    UserError
        For a run of another split, other artefacts, another seed or shared phase. Nothing has
        been loaded then.
    """
    _refuse_other_settings(source, config)
    _refuse_other_inputs(source, config, split)
    saved = checkpoint.load_state(source.checkpoint_dir)
    if saved is None:
        raise UserError(f"{_KEY}: {source.checkpoint_dir}: no such folder; nothing to reuse")
    model.reuse_phase(checkpoint.model_weights(saved.tensors))
    first = saved.values["phases"][0]
    rows = [row for row in saved.values["curves"] if row["phase"] == first["name"]]
    return History([{**first, "name": name}], [row | {"phase": name} for row in rows])


def _refuse_other_settings(run: ReusableRun, config: EDTConfig) -> None:
    for which, settings in ((f"{run.path}: ", run.config), ("", config)):
        has_phase = settings["model"] in (_SHARED_MODEL, _TWO_PHASED)
        if has_phase and settings["item_vectors"] == _TRAINABLE:
            raise UserError(
                f"{_KEY}: {which}item_vectors is {_TRAINABLE!r}: the domain phase goes on "
                "training them, so a finished shared phase cannot be reused; expected 'frozen'"
            )
    source = shared_settings(run.config.to_dict())
    if source is None:
        expected = f"{config['model']} or {_SHARED_MODEL}"
        raise UserError(f"{_KEY}: {run.path}: model is {run.config['model']}, expected {expected}")
    wanted = shared_settings(config.to_dict()) or {}
    for key in {**wanted, **source}:
        if source.get(key) != wanted.get(key):
            raise UserError(
                f"{_KEY}: {run.path}: {key} is {source.get(key)!r}, expected {wanted.get(key)!r}"
            )


def _refuse_other_inputs(run: ReusableRun, config: EDTConfig, split: Split) -> None:
    pairs = {"split": (run.split_hash[:12], split.hash[:12])}
    if run.artefacts_hash is not None:
        settings = ArtefactSettings.from_config(run.config)
        identity = identity_now(config.dataset_dir, config["dataset"], settings, split)
        pairs["artefacts"] = (run.artefacts_hash, set_hash(identity))
    for what, (recorded, present) in pairs.items():
        if recorded != present:
            raise UserError(
                f"{_KEY}: {run.path}: {what} {recorded}, but as the dataset is now {present}: its "
                "interactions, titles or domains, or this package, have changed"
            )
