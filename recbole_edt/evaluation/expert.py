"""The content expert: similarity of LLM vectors, added to the scores of any trained model."""

from collections.abc import Sequence

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
    weights : sequence of float, optional
        Of each domain, as chosen earlier.

    Attributes
    ----------
    weights : torch.Tensor
        Weight of each domain, float32 [K]; zero until chosen.
    """

    def __init__(self, part: CrossDomainDataset, weights: Sequence[float] | None = None):
        config = part.config
        self.count, self.lag = config["expert_items"], config["expert_lag"]
        self.unit = unit_vectors(part.item_vectors()).to(config["device"])
        self.item_domain = part.item_domain.to(config["device"])
        self._units: dict[int, Tensor] = {}
        start = [0.0] * len(part.domains) if weights is None else list(weights)
        self.weights = torch.tensor(start, device=config["device"])

    def scores(self, targets: Targets, at: np.ndarray, domain: int | None = None) -> Tensor:
        """Return the unweighted scores of items for some targets.

        Parameters
        ----------
        targets : Targets
            Of any part.
        at : numpy.ndarray
            Which of them, int [B].
        domain : int, optional
            Score the items of this domain, in rising order of their ids; all items by default.

        Returns
        -------
        torch.Tensor
            Float32 [B, n].
        """
        recent = torch.from_numpy(targets.last_items(at, self.count)).to(self.unit.device)
        candidates = self.unit
        if domain is not None:
            if domain not in self._units:
                self._units[domain] = self.unit[self.item_domain == domain]
            candidates = self._units[domain]
        return similarity_scores(self.unit, recent, "max", self.lag, candidates)

    def weighted(self, scores: Tensor, domain: int | None = None) -> Tensor:
        """Return scores as `scores` gives them times the weight of each item's domain."""
        if domain is not None:
            return scores * self.weights[domain]
        return scores * self.weights[self.item_domain]  # the padding item's column is never read

    def add_items(self, vectors: Tensor, domains: Tensor) -> None:
        """Append items with LLM vectors, float [n, m], of some domains, int64 [n]."""
        device = self.unit.device
        self.unit = torch.cat([self.unit, unit_vectors(vectors).to(device)])
        self.item_domain = torch.cat([self.item_domain, domains.to(device)])
        self._units = {}
