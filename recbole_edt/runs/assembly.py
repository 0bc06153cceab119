"""The parts that a run is put together from: dataset, training batches, targets, model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_edt import distributed
from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.loaders import training_loader
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.list_metrics import reads_vectors
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.protocols import trains_on_windows
from recbole_edt.model.registry import get_model
from recbole_edt.prepare.movielens import DEFAULT_DATASET
from recbole_edt.prepare.pipeline import ensure_default
from recbole_edt.recbole_bridge import init_seed
from recbole_edt.recbole_bridge.failures import named_failures
from recbole_edt.recbole_bridge.model_checks import check_model, check_settings
from recbole_edt.recbole_bridge.stock import is_stock
from recbole_edt.runs.folders import Settings, without_folders


def seed_everything(config: EDTConfig) -> None:
    """Seed all random generators; make torch add in one order where the run is reproducible.

    On several threads gradients of lookups differ otherwise.
    """
    # Not use_deterministic_algorithms, which imports torch's compiler, a second, to tell it too.
    torch.set_deterministic_debug_mode("warn" if config["reproducibility"] else "default")
    # filling fresh memory costs time and changes no result
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    init_seed(config["seed"], config["reproducibility"])


def check_gpus(config: EDTConfig) -> None:
    """Refuse GPUs that are not there: RecBole would compute on the CPU without a word.

    The default, 0, may be missing: the configuration of every run has it.
    """
    asked = str(config["gpu_id"])
    if config["use_gpu"] and asked not in ("", "None", "0") and config["device"].type == "cpu":
        raise UserError(
            f"gpu_id: found {asked!r}, but torch finds no such GPU here; expected one that "
            "'recbole-edt doctor' shows, or gpu_id='' for the CPU"
        )


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


def dataset_files(config: EDTConfig) -> list[Path]:
    """Return the interactions and the items of a configuration's dataset."""
    return [config.dataset_dir / f"{config['dataset']}.{kind}" for kind in ("inter", "item")]


def agree_on_settings(settings: Settings) -> None:
    """Refuse processes of one run whose configurations differ; where files are may differ."""
    distributed.agree("configuration", without_folders(settings))


def open_dataset(config: EDTConfig) -> CrossDomainDataset:
    """Return the dataset; of several processes rank 0 is the first, and makes what is missing.

    Raises
    ------
    UserError
        No or malformed files, or others than those of another process.
    """
    with distributed.main_first():
        find_dataset(config)
        dataset = CrossDomainDataset(config)
    distributed.agree(f"data of {config['dataset']}", dataset.hashes())
    return dataset


def prepare_data(config: EDTConfig, dataset: CrossDomainDataset) -> tuple[Any, Targets, Targets]:
    """Return the training loader of the model and the targets of validation and test."""
    attach_artefacts(dataset)
    if reads_vectors([*config["metrics"], config["valid_metric"]]):
        dataset.item_vectors()  # refused now, not after training
    parts = dataset.build()
    loader = _loader(config, dataset, parts)
    return loader, Targets(parts[1], "valid", config["valid_users"]), Targets(parts[2], "test")


def prepare_final_data(config: EDTConfig, dataset: CrossDomainDataset) -> Any:
    """Return the loader of the final fit, on training and validation rows; after `prepare_data`."""
    return _loader(config, *dataset.build_final())


def _loader(config: EDTConfig, dataset: CrossDomainDataset, parts: list[CrossDomainDataset]) -> Any:
    with named_failures("trained", config):
        try:
            return training_loader(dataset, parts, trains_on_windows(config.model_class))
        except ValueError as error:
            if "interacted with all items" not in str(error):  # RecBole's sampler
                raise
            raise UserError(_why_no_negatives(config, dataset)) from error


def _why_no_negatives(config: EDTConfig, dataset: CrossDomainDataset) -> str:
    """Return who has interacted with every item, and what to do about it."""
    items = dataset.item_num - 1
    pairs = np.unique(dataset.store.users.astype(np.int64) * dataset.item_num + dataset.store.items)
    counts = np.bincount(pairs // dataset.item_num, minlength=dataset.user_num)
    having_all = dataset.user_tokens[np.flatnonzero(counts[1:] == items)]
    others = f" and {len(having_all) - 1} more" if len(having_all) > 1 else ""
    who = f"user {str(having_all[0])!r}{others}"
    return (
        f"dataset: {config['dataset']}: {who} has interacted with all {items} items, so that no "
        f"negative can be drawn for {config['model']}; expected a model "
        f"that draws none, or data made with --max_user_inter={items - 1} of 'recbole-edt prepare'"
    )


def build_model(config: EDTConfig, dataset: CrossDomainDataset) -> Any:
    """Return the model on its device.

    Raises
    ------
    UserError
        When a model of RecBole's refuses its settings or the dataset.
    """
    model_class = get_model(config["model"])
    if not is_stock(model_class):
        return model_class(config, dataset).to(config["device"])
    check_settings(config, dataset)
    with named_failures("built", config):
        model = model_class(config, dataset).to(config["device"])
    check_model(config, model)
    return model
