"""The training batches of a model: windows, RecBole's rows, or these trimmed."""

from collections.abc import Sequence
from typing import Any

from recbole_edt import recbole_bridge
from recbole_edt.data.batching import TrimmedLoader
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import WindowLoader


def training_loader(
    dataset: CrossDomainDataset, parts: Sequence[CrossDomainDataset], on_windows: bool
) -> Any:
    """Return what a model trains on; ``loader.dataset`` is the training part.

    Parameters
    ----------
    dataset : CrossDomainDataset
        All of it.
    parts : sequence of CrossDomainDataset
        What its `build` returned.
    on_windows : bool
        Whether the model trains on windows of sequences, and not on RecBole's rows.
    """
    config, train = dataset.config, parts[0]
    if on_windows:
        return WindowLoader(
            train, config["MAX_ITEM_LIST_LENGTH"], config["train_batch_size"], config["seed"]
        )
    trained = train.flat[dataset.iid_field][train.training_rows()].numpy()
    loader = recbole_bridge.training_loader(config, dataset, list(parts), trained)
    return TrimmedLoader(loader) if config["trim_batches"] and dataset.is_sequential else loader
