"""Scores of the candidates after some histories, as modules that can become a graph."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from recbole_edt.errors import UserError
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.sequences import packed
from recbole_edt.model.base import CrossDomainModel


class Scorer(nn.Module):
    """Scores candidates from tables in the order of a `Numbering`.

    A subclass gives `forward`.

    Parameters
    ----------
    model : RecBole model
        With its weights, in evaluation mode, on the CPU.
    numbering : Numbering
        Item numbers and candidates.
    """

    def __init__(self, model: Any, numbering: Numbering):
        super().__init__()
        self.numbering = numbering

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Score the candidates.

        Parameters
        ----------
        items : torch.Tensor
            Item numbers, padded on the right with 0, int64 [B, MAX_ITEM_LIST_LENGTH].
        lengths : torch.Tensor
            Items of each history, int64 [B].

        Returns
        -------
        torch.Tensor
            Float32 [B, candidates].
        """
        raise NotImplementedError

    def _keep(self, name: str, table: Tensor | None) -> None:
        """Register a table of all items, or None, in the order of the numbering."""
        ordered = None if table is None else table.detach()[self.numbering.items].contiguous()
        self.register_buffer(name, ordered)


class StateScorer(Scorer):
    """Scores of this package's sequential models: <state of domain k, vector> + bias.

    A subclass gives `states`, its model's ``last_states`` without data-dependent sizes.
    """

    vectors: Tensor
    bias: Tensor | None
    domains: Tensor

    def __init__(self, model: CrossDomainModel, numbering: Numbering):
        super().__init__(model, numbering)
        vectors, bias = model.whole_table()
        self._keep("vectors", vectors)
        self._keep("bias", bias)
        self.register_buffer("domains", numbering.domains)

    def states(self, items: Tensor, lengths: Tensor) -> Sequence[Tensor]:
        """Return what scores each domain of ``numbering.slices``, in order, each [B, d].

        A single one serves all domains.
        """
        raise NotImplementedError

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Score the candidates."""
        states = self.states(items, lengths)
        wanted = list(self.numbering.slices.values())
        if len(states) == 1:
            return self._scores(states[0], self.numbering.candidates)
        scores = [self._scores(s, of) for s, of in zip(states, wanted, strict=True)]
        return torch.cat(scores, dim=1)

    def _own(self, items: Tensor, domain: int) -> tuple[Tensor, Tensor]:
        """Return the items of a domain, packed to the left, and how many there are."""
        own = packed(items, self.domains[items] == domain)
        return own, (own > 0).sum(1)

    def _scores(self, state: Tensor, numbers: slice) -> Tensor:
        vectors = self.vectors[numbers]
        return state @ vectors.T if self.bias is None else state @ vectors.T + self.bias[numbers]


class _Fields(dict[str, Tensor]):
    """What a RecBole model may read to score histories."""

    def __missing__(self, field: str) -> Tensor:
        raise UserError(f"it reads {field!r}, not only the history of items")


class HistoryScorer(Scorer):
    """Scores of a model whose ``full_sort_predict`` reads the history of items only.

    RecBole's models do not know the numbering, so that numbers are turned into its item ids and
    scores are put in order.
    """

    ids: Tensor

    def __init__(self, model: Any, numbering: Numbering):
        super().__init__(model, numbering)
        self.model = model
        self.register_buffer("ids", numbering.items)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Score the candidates."""
        model = self.model
        batch = _Fields({model.ITEM_SEQ: self.ids[items], model.ITEM_SEQ_LEN: lengths.clamp(min=1)})
        scores = model.full_sort_predict(batch).view(items.shape[0], -1)
        return scores.index_select(1, self.ids[self.numbering.candidates])


class MaskTokenScorer(HistoryScorer):
    """RecBole's ``BERT4Rec``, which puts its mask token behind each history in a Python loop."""

    def __init__(self, model: Any, numbering: Numbering):
        super().__init__(copy(model), numbering)  # shares the weights; the run's model stays
        self.model.reconstruct_test_data = self._masked

    def _masked(self, ids: Tensor, lengths: Tensor) -> Tensor:
        extended = torch.nn.functional.pad(ids, (0, 1))
        return extended.scatter(1, lengths.unsqueeze(1), self.model.mask_token)[:, 1:]
