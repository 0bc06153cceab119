"""Finished runs: finding them, and putting dataset and model together again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.report import flatten_metrics, report_metrics
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import read_json
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.quick_start import (
    build_model,
    find_dataset,
    prepare_data,
    use_deterministic_algorithms,
)
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.recbole_bridge.model_state import has_other_state
from recbole_edt.training.checkpoint import load_state, refuse_other_data, unpack_outside

_MODEL = "model/"
_CLOSE = 1e-6


@dataclass(frozen=True)
class FinishedRun:
    """A run that can be asked for recommendations.

    Attributes
    ----------
    folder : pathlib.Path
        Its folder.
    metrics : dict
        The content of its ``metrics.json``.
    config : EDTConfig
        Its configuration.
    part : CrossDomainDataset
        The dataset, all interactions of it, as evaluation sees it.
    model : RecBole model
        With the run's chosen weights, in evaluation mode.
    expert : ContentExpert or None
        What the run adds to the model's scores, with the weights that it chose.
    catalogue : Catalogue
        The items with their titles.
    artefacts : ArtefactSet or None
        The set that the run read; None when it read none.
    """

    folder: Path
    metrics: dict[str, Any]
    config: EDTConfig
    part: CrossDomainDataset
    model: Any
    expert: ContentExpert | None
    catalogue: Catalogue
    artefacts: store.ArtefactSet | None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.metrics["model"])


def newest_run(output_dir: Path, dataset: str, model: str) -> Path:
    """Return the folder of the model's newest finished run on a dataset.

    Raises
    ------
    UserError
        When there is none.
    """
    folder = output_dir / dataset
    finished = {path: path.stat().st_mtime_ns for path in folder.glob(f"{model}/*/metrics.json")}
    if not finished:
        known = sorted({path.parent.parent.name for path in folder.glob("*/*/metrics.json")})
        raise UserError(
            f"models: no finished run of {model} in {folder}{nearest(model, known)}; "
            f"there are {known}"
        )
    return max(finished, key=lambda path: (finished[path], path)).parent


def load_run(folder: Path, overrides: Mapping[str, Any]) -> FinishedRun:
    """Load a finished run: its configuration, the dataset, and the model with its weights.

    Parameters
    ----------
    folder : pathlib.Path
        ``<output_dir>/<dataset>/<model>/<run id>``.
    overrides : mapping
        Keys that say where and how to compute, such as ``data_path``.

    Raises
    ------
    UserError
        When the run is not finished or cannot be loaded, or the dataset is no longer the one
        that it was trained on.
    """
    for name in ("config.yaml", "metrics.json", "checkpoint/state.json"):
        if not (folder / name).is_file():
            what = "is no folder of a run" if name == "config.yaml" else "is not finished"
            raise UserError(f"run: {folder} {what}: it has no {name}")
    metrics = read_json(folder / "metrics.json")
    config = EDTConfig(None, None, [str(folder / "config.yaml")], overrides)
    config["run_dir"] = str(folder)
    find_dataset(config)
    use_deterministic_algorithms(config["reproducibility"])
    init_seed(config["seed"], config["reproducibility"])
    dataset = CrossDomainDataset(config)
    refuse_other_data(folder, metrics["protocol"], dataset)
    template = config["text_template"]
    catalogue = read_catalogue(config.dataset_dir, config["dataset"], template)
    artefacts = _artefacts_of(folder, metrics, config, dataset, catalogue)
    train_data, valid, test = prepare_data(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = build_model(config, train_data.dataset)
    _load_weights(folder, model)
    model.eval()
    if has_other_state(model):
        _refuse_lost_state(folder, metrics, model, valid)
    expert = _expert_of(metrics, config, test.part)
    return FinishedRun(folder, metrics, config, test.part, model, expert, catalogue, artefacts)


def _artefacts_of(
    folder: Path,
    metrics: Mapping[str, Any],
    config: EDTConfig,
    dataset: CrossDomainDataset,
    catalogue: Catalogue,
) -> store.ArtefactSet | None:
    """Return the set that a run read; refuse one of another catalogue or other settings."""
    if metrics["artefacts"] is None:
        return None
    name, dataset_dir = config["dataset"], config.dataset_dir
    identity = store.ArtefactSettings.from_config(config).identity(catalogue, dataset.split)
    store.refuse_other_artefacts(folder, metrics, dataset_dir, name, identity)
    return store.find_set(dataset_dir, name, identity)


def _expert_of(
    metrics: Mapping[str, Any], config: EDTConfig, part: CrossDomainDataset
) -> ContentExpert | None:
    if not config["content_expert"]:
        return None
    expert = ContentExpert(part)
    weights = [metrics["expert_weights"][domain] for domain in part.domains]
    expert.weights = torch.tensor(weights, device=config["device"])
    return expert


def _load_weights(folder: Path, model: Any) -> None:
    found = load_state(folder / "checkpoint")
    if found is None:
        raise UserError(f"run: {folder} has no checkpoint")
    tensors, info = found
    capabilities_of(model).begin_phase(info["phase"])
    weights = {k.removeprefix(_MODEL): v for k, v in tensors.items() if k.startswith(_MODEL)}
    try:
        model.load_state_dict(weights)
        unpack_outside(model, tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"run: {folder}/checkpoint does not fit the dataset as it is now ({reason})"
        ) from None


def _refuse_lost_state(
    folder: Path, metrics: Mapping[str, Any], model: Any, valid: Targets
) -> None:
    """Refuse a model whose state outside tensors does not come back with its construction.

    RecBole's EASE and ItemKNN compute theirs from the training rows when they are built; whether
    another does, only its scores tell: validation is ranked again and compared.
    """
    before, protocol = metrics.get("without_expert", metrics)["valid"], metrics["protocol"]
    names = [name for name in before["overall"] if "@" in name]
    scope, sampled = protocol["candidates"], protocol["sampled"]
    depth = max(int(name.split("@")[1]) for name in names)
    try:
        ranks = rank_targets(model, valid, scope, sampled, depth=depth)
        found = flatten_metrics(report_metrics(ranks, valid, names))
    except (UserError, TypeError, AttributeError):  # a count that was never made
        found = {}
    told = flatten_metrics(before)
    same = found and all(abs(found[name] - told[name]) < _CLOSE for name in found)
    if not same or not np.isfinite([*found.values()]).all():
        raise UserError(
            f"run: {folder}: {metrics['model']} keeps its state outside the checkpoint's tensors, "
            "so that it cannot be loaded again; expected a model that learns weights"
        )
