"""The content expert: similarity of LLM vectors, added to the scores of any trained model."""

import numpy as np
import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.similarity import similarity_scores, unit_vectors


class ContentExpert:
    """Add w_k max_j (cos(z_i, z_j) - lag j) to the score of item i of domain k [ours].

    j = 0, 1, ... runs over the user's last items. The weight w_k is chosen per domain on
    validation, after training (`recbole_edt.evaluation.ranking.choose_weights`); under
    ``candidates: all`` one weight serves all domains.

    Parameters
    ----------
    part : CrossDomainDataset
        Any part of the dataset; gives the item vectors and the keys ``expert_*``.

    Attributes
    ----------
    weights : torch.Tensor
        Weight of each domain, float32 [K]; zero until chosen.
    """

    def __init__(self, part: CrossDomainDataset):
        config = part.config
        self.count, self.lag = config["expert_items"], config["expert_lag"]
        self.unit = unit_vectors(part.item_vectors()).to(config["device"])
        self.item_domain = part.item_domain.to(config["device"])
        self.weights = torch.zeros(len(part.domains), device=config["device"])

    def scores(self, targets: Targets, at: np.ndarray) -> Tensor:
        """Return the unweighted scores of all items for some targets, [len(at), item_num]."""
        recent = torch.from_numpy(targets.last_items(at, self.count)).to(self.unit.device)
        return similarity_scores(self.unit, recent, "max", self.lag)

    def weighted(self, scores: Tensor) -> Tensor:
        """Return scores [B, item_num] times the weight of each item's domain."""
        return scores * self.weights[self.item_domain]  # the padding item's column is never read
