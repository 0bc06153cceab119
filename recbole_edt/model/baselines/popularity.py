"""The first rung: how often an item was taken in training."""

import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model.baselines.untrained import Untrained
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction


class Popularity(Untrained):
    """Score items by log(1 + training interactions), the same for all users [ours].

    RecBole's ``Pop`` counts the negatives that it samples too, and an item once per batch at most,
    so that its order depends on seed and batch size.

    Parameters
    ----------
    config : EDTConfig
        Keys of ``properties/model/Popularity.yaml``.
    dataset : CrossDomainDataset
        The training part.

    Attributes
    ----------
    has_settings : bool
        False: a search has nothing to try.
    """

    has_settings = False
    scores: Tensor

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        counts = torch.from_numpy(dataset.item_counts()).float()
        self.register_buffer("scores", torch.log1p(counts), persistent=False)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Return the scores of all items, [B, n_items]."""
        return self.scores.repeat(len(interaction[self.ITEM_SEQ_LEN]), 1)
