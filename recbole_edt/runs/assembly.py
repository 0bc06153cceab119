"""The parts that a run is put together from: dataset, training batches, targets, model."""

from typing import Any

import torch

from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.loaders import training_loader
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.protocols import trains_on_windows
from recbole_edt.model.registry import get_model
from recbole_edt.prepare.movielens import DEFAULT_DATASET
from recbole_edt.prepare.pipeline import ensure_default
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.recbole_bridge.stock import is_stock


def seed_everything(config: EDTConfig) -> None:
    """Seed all random generators; make torch add in one order where the run is reproducible.

    On several threads gradients of lookups differ otherwise.
    """
    torch.use_deterministic_algorithms(config["reproducibility"], warn_only=True)
    # filling fresh memory costs time and changes no result
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    init_seed(config["seed"], config["reproducibility"])


def find_dataset(config: EDTConfig) -> None:
    """Make the embedded default dataset when it is missing; refuse any other missing one.

    Raises
    ------
    UserError
        Names the nearest dataset that is there.
    """
    name, folder = config["dataset"], config.dataset_dir
    if (folder / f"{name}.inter").is_file():
        return
    if name == DEFAULT_DATASET:
        ensure_default(config.data_root)
        return
    known = [DEFAULT_DATASET]
    if config.data_root.is_dir():
        known += [p.name for p in config.data_root.iterdir() if (p / f"{p.name}.inter").is_file()]
    raise UserError(
        f"dataset: {folder}/{name}.inter does not exist{nearest(name, known)}; "
        "make it with 'recbole-edt prepare'"
    )


def prepare_data(config: EDTConfig, dataset: CrossDomainDataset) -> tuple[Any, Targets, Targets]:
    """Return the training loader of the model and the targets of validation and test."""
    attach_artefacts(dataset)
    parts = dataset.build()
    loader = training_loader(dataset, parts, trains_on_windows(config.model_class))
    return loader, Targets(parts[1], "valid", config["valid_users"]), Targets(parts[2], "test")


def build_model(config: EDTConfig, dataset: CrossDomainDataset) -> Any:
    """Return the model on its device.

    Raises
    ------
    UserError
        When a model of RecBole's refuses its settings or the dataset.
    """
    model_class = get_model(config["model"])
    try:
        return model_class(config, dataset).to(config["device"])
    except (KeyError, ValueError, NotImplementedError) as error:
        if not is_stock(model_class):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"model: {config['model']} refuses its settings or {config['dataset']}: {reason}"
        ) from error
