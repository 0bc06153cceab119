"""The parts that a run is put together from: dataset, training batches, targets, model."""

from typing import Any

import torch

from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.data.batching import TrimmedLoader
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import WindowLoader
from recbole_edt.errors import UserError, nearest
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.registry import get_model
from recbole_edt.prepare.command import ensure_default
from recbole_edt.prepare.movielens import DEFAULT_DATASET
from recbole_edt.recbole_bridge import create_samplers, get_dataloader, init_seed
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
    parts = dataset.build()
    if getattr(config.model_class, "trains_on_windows", False):
        loader: Any = WindowLoader(
            parts[0], config["MAX_ITEM_LIST_LENGTH"], config["train_batch_size"], config["seed"]
        )
    else:
        sampler, _, _ = create_samplers(config, dataset, parts)
        if config["train_neg_sample_args"]["distribution"] == "popularity":
            # RecBole counts the held-out rows too
            trained = parts[0].flat[dataset.iid_field][parts[0].training_rows()]
            sampler._get_candidates_list = trained.tolist
            sampler._build_alias_table()
        loader = get_dataloader(config, "train")(
            config, parts[0], sampler, shuffle=config["shuffle"]
        )
        if config["trim_batches"] and dataset.is_sequential:
            loader = TrimmedLoader(loader)
    return loader, Targets(parts[1], "valid"), Targets(parts[2], "test")


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
