"""Taking the shared phase over from a finished run, so that only the domain phase is trained."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import read_json
from recbole_edt.training import checkpoint

_KEY = "shared_run"
_SHARED_MODEL = "SASRecLLM"


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
        Of the new run: seed, and the settings that the checkpoint's sizes do not show.
    valid : Targets
        Gives the split.

    Raises
    ------
    UserError
        When the folder holds no such run, or one of another seed, split or dataset.
    """
    if not (folder / "metrics.json").is_file():
        raise UserError(f"{_KEY}: {folder}: found no metrics.json, expected a finished run")
    metrics = read_json(folder / "metrics.json")
    models = (config["model"], _SHARED_MODEL)
    if metrics["model"] not in models:
        raise UserError(
            f"{_KEY}: {folder}: model is {metrics['model']!r}, expected one of {list(models)}"
        )
    expected = {
        "dataset": config["dataset"],
        "seed": config["seed"],
        "split_hash": valid.part.split.hash,
    }
    found = {**metrics, "split_hash": metrics["protocol"]["split_hash"]}
    for key, value in expected.items():
        if found[key] != value:
            raise UserError(f"{_KEY}: {folder}: {key} is {found[key]!r}, expected {value!r}")
    state = checkpoint.load_state(folder / "checkpoint")
    if state is None:
        raise UserError(f"{_KEY}: {folder}/checkpoint: no such folder; nothing to take over")
    tensors, info = state
    first = info["phases"][0]
    curves = [row | {"phase": name} for row in info["curves"] if row["phase"] == first["name"]]
    return FinishedPhase({**first, "name": name}, curves, tensors)
