"""The rungs that learn nothing: popularity, and the nearest items by LLM vectors."""

import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.model.similarity import last_items, similarity_scores, unit_vectors
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


class Similarity(Untrained):
    """Score items by the similarity of their LLM vectors to the user's last ones [ours].

    score_i = max_j (cos(z_i, z_j) - lag j) + popularity log(1 + n_i) over the last items j =
    0, 1, ...; ``mean`` and ``last`` compare with the mean of the last items or the last one only.

    Parameters
    ----------
    config : EDTConfig
        Keys of ``properties/model/Similarity.yaml``.
    dataset : CrossDomainDataset
        The training part.
    """

    unit: Tensor
    popularity: Tensor

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.how, self.count = config["similarity"], config["similarity_items"]
        self.lag = config["similarity_lag"]
        self.register_buffer("unit", unit_vectors(dataset.item_vectors()), persistent=False)
        counts = torch.from_numpy(dataset.item_counts()).float()
        weight = config["similarity_popularity"]
        self.register_buffer("popularity", weight * torch.log1p(counts), persistent=False)

    def add_items(self, vectors: Tensor, domains: Tensor, seen: Tensor) -> None:
        """Append items, which nobody has taken; see `protocols.TakesNewItems`."""
        self.unit = torch.cat([self.unit, unit_vectors(vectors).to(self.unit.device)])
        self.popularity = torch.cat([self.popularity, self.popularity.new_zeros(len(vectors))])
        self.n_items = len(self.unit)

    def item_representations(self) -> Tensor:
        """Return the LLM vectors at length one, [n_items, m]."""
        return self.unit

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Return the scores of all items after each history, [B, n_items]."""
        items, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        recent = last_items(items, lengths, self.count)
        return similarity_scores(self.unit, recent, self.how, self.lag) + self.popularity
