"""Stand-ins for models: they score by a fixed table instead of learning."""

import torch
from torch import Tensor


class Table:
    """Scores of every user for every item, [users, items], whatever the history."""

    def __init__(self, scores: Tensor):
        self.scores = scores

    def eval(self) -> None:
        pass

    def full_sort_predict(self, batch) -> Tensor:
        return self.scores[batch["user_id"]].clone()


class Pairwise(Table):
    """The same table for a model that has no full ranking."""

    def full_sort_predict(self, batch) -> Tensor:
        raise NotImplementedError

    def predict(self, batch) -> Tensor:
        return self.scores[batch["user_id"], batch["item_id"]]


class DomainTable(Table):
    """The same table for a model that scores the items of one domain at a time."""

    def __init__(self, scores: Tensor, item_domain: Tensor):
        super().__init__(scores)
        self.item_domain = item_domain

    def full_sort_predict(self, batch) -> Tensor:
        raise AssertionError("asked for all items")

    def domain_scores(self, batch, rows):
        users = batch["user_id"]
        for k, some in enumerate(rows):
            yield self.scores[users[some]][:, self.item_domain == k]


def random_table(part, levels: int = 0, seed: int = 0) -> Table:
    """Return random scores, rounded to `levels` values so that ties are common (0: no ties)."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(part.user_num, part.item_num, generator=generator)
    return Table((scores * levels).floor() if levels else scores)
