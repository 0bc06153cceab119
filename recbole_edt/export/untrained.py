"""Scores by counts and by LLM vectors as graphs: popularity, similarity, the content expert."""

import torch
from torch import Tensor, nn

from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.scorers import Scorer
from recbole_edt.model.baselines.untrained import Popularity, Similarity
from recbole_edt.model.similarity import last_items, similarity_scores


class PopularityScorer(Scorer):
    """`Popularity`: the same scores for everybody."""

    counts: Tensor

    def __init__(self, model: Popularity, numbering: Numbering):
        super().__init__(model, numbering)
        self._keep("counts", model.scores)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Score the candidates."""
        return self.counts[self.numbering.candidates].expand(items.shape[0], -1)


class SimilarityScorer(Scorer):
    """`Similarity`: the nearest of the last items."""

    unit: Tensor
    popularity: Tensor

    def __init__(self, model: Similarity, numbering: Numbering):
        super().__init__(model, numbering)
        self.how, self.count, self.lag = model.how, model.count, model.lag
        self._keep("unit", model.unit)
        self._keep("popularity", model.popularity)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Score the candidates."""
        recent, numbers = last_items(items, lengths, self.count), self.numbering.candidates
        if self.how == "max":
            similar = nearest_scores(self.unit, recent, self.lag, self.unit[numbers])
        else:
            similar = similarity_scores(self.unit, recent, self.how, self.lag, self.unit[numbers])
        return similar + self.popularity[numbers]


class ExpertScorer(nn.Module):
    """The content expert of a run, added to its model's scores.

    Parameters
    ----------
    expert : ContentExpert
        With the weights that the run chose.
    numbering : Numbering
        Item numbers and candidates.
    """

    unit: Tensor
    weights: Tensor

    def __init__(self, expert: ContentExpert, numbering: Numbering):
        super().__init__()
        self.count, self.lag, self.numbers = expert.count, expert.lag, numbering.candidates
        self.register_buffer("unit", expert.unit[numbering.items])
        of_candidates = numbering.domains[numbering.candidates]
        self.register_buffer("weights", expert.weights[of_candidates])

    def forward(self, history: Tensor) -> Tensor:
        """Return the weighted scores of the candidates after right-padded histories [B, L]."""
        recent = last_items(history, (history > 0).sum(1), self.count)
        return nearest_scores(self.unit, recent, self.lag, self.unit[self.numbers]) * self.weights


def nearest_scores(unit: Tensor, recent: Tensor, lag: float, candidates: Tensor) -> Tensor:
    """Return `similarity_scores` with ``max``, one step back after another.

    Parameters
    ----------
    unit, recent, lag, candidates
        As there.

    Returns
    -------
    torch.Tensor
        [B, C]; zero for a user without items.

    Examples
    --------
    >>> unit = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> nearest_scores(unit, torch.tensor([[1, 2], [0, 0]]), 0.5, unit[1:]).tolist()
    [[1.0, 0.5], [0.0, 0.0]]
    """
    best = (unit[recent[:, 0]] @ candidates.T) * (recent[:, :1] > 0)
    for step in range(1, recent.shape[1]):
        similar = unit[recent[:, step]] @ candidates.T - lag * step
        known = recent[:, step : step + 1] > 0
        best = torch.where(known, torch.maximum(best, similar), best)
    return best
