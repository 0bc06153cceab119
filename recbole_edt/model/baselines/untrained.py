"""What models that learn nothing have in common."""

import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import InputType, Interaction, SequentialRecommender


class Untrained(SequentialRecommender):
    """A model that scores by counts or vectors only; one pass over the data counts as an epoch.

    Parameters
    ----------
    config : EDTConfig
        Keys of the model.
    dataset : CrossDomainDataset
        The training part.
    """

    input_type = InputType.POINTWISE
    trains_on_windows = True
    shares_batches = True

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.nothing = nn.Parameter(torch.zeros(()))  # optimizers refuse to have no parameter

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return zero: there is nothing to learn."""
        return self.nothing * 0.0

    def predict(self, interaction: Interaction) -> Tensor:
        """Return the score of one item after each history, [B]."""
        scores: Tensor = self.full_sort_predict(interaction)
        return scores.gather(1, interaction[self.ITEM_ID][:, None])[:, 0]
