"""RecBole's loader of training batches, with the negatives that its models ask for."""

from importlib import import_module
from typing import Any

import numpy as np

from recbole_edt.recbole_bridge.shims import prepare_recbole


def training_loader(config: Any, dataset: Any, parts: list[Any], trained: np.ndarray) -> Any:
    """Return RecBole's loader of the training part.

    Parameters
    ----------
    config : recbole Config
        ``train_neg_sample_args``, ``train_batch_size``, ``shuffle``, ``seed``.
    dataset : recbole Dataset
        What the sampler of a sequential model draws from.
    parts : list of recbole Dataset
        Training, validation and test part.
    trained : numpy.ndarray
        Item id of each training interaction, [n]: what popular negatives are drawn by.

    Returns
    -------
    recbole AbstractDataLoader
        Yields `Interaction`; its ``dataset`` is the training part.
    """
    prepare_recbole()
    utils = import_module("recbole.data.utils")
    sampler, _, _ = utils.create_samplers(config, dataset, parts)
    if config["train_neg_sample_args"]["distribution"] == "popularity":
        # RecBole counts the held-out rows too
        sampler._get_candidates_list = trained.tolist
        sampler._build_alias_table()
    loader_class = utils.get_dataloader(config, "train")
    return loader_class(config, parts[0], sampler, shuffle=config["shuffle"])
