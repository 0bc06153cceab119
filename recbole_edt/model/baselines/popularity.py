"""The first rung: how often an item was taken in training."""

from typing import Any

import torch
from torch import Tensor, nn

from recbole_edt.compat import prepare_recbole
from recbole_edt.data.dataset import CrossDomainDataset

prepare_recbole()

from recbole.model.abstract_recommender import SequentialRecommender  # noqa: E402
from recbole.utils import InputType  # noqa: E402


class Popularity(SequentialRecommender):
    """Score items by log(1 + training interactions), the same for all users [ours].

    RecBole's ``Pop`` counts the negatives that it samples too, and an item once per batch at most,
    so that its order depends on seed and batch size. Nothing is trained here.

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

    input_type = InputType.POINTWISE
    trains_on_windows = True
    has_settings = False
    scores: Tensor

    def __init__(self, config: Any, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        counts = torch.from_numpy(dataset.item_counts()).float()
        self.register_buffer("scores", torch.log1p(counts), persistent=False)
        self.nothing = nn.Parameter(torch.zeros(()))  # optimizers refuse to have no parameter

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Return zero: there is nothing to learn."""
        return self.nothing * 0.0

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Return the scores of all items, [B, n_items]."""
        return self.scores.repeat(len(interaction[self.ITEM_SEQ_LEN]), 1)

    def predict(self, interaction: Any) -> Tensor:
        """Return the score of one item each, [B]."""
        return self.scores[interaction[self.ITEM_ID]]
