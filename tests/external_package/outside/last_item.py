"""A sequential recommender that knows nothing of this project: RecBole's interface only."""

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from torch import nn


class LastItem(SequentialRecommender):
    """The next item depends on the last one."""

    config_keys = ("sharpness",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.sharpness = config["sharpness"] or 1.0
        self.last = nn.Embedding(self.n_items, config["width"])
        self.next = nn.Embedding(self.n_items, config["width"])

    def scores(self, interaction):
        items, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        last = items.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        return self.sharpness * self.last(last) @ self.next.weight.T

    def calculate_loss(self, interaction):
        return nn.functional.cross_entropy(self.scores(interaction), interaction[self.POS_ITEM_ID])

    def full_sort_predict(self, interaction):
        return self.scores(interaction)

    def predict(self, interaction):
        return self.scores(interaction)[torch.arange(len(interaction)), interaction[self.ITEM_ID]]
