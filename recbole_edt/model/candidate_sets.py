"""Next-item losses over candidate sets: which items a label competes with, and what that costs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recbole_edt.model import losses
from recbole_edt.model.batch_share import generator
from recbole_edt.model.smoothing import TargetSmoothing

ItemTable = Callable[[Tensor | None], tuple[Tensor, Tensor | None]]
"""Vectors [n, d] and biases [n] (or None) of some item ids [n]; of all items when given None."""


class CandidateSet(NamedTuple):
    """Labels that compete with the same candidates.

    Attributes
    ----------
    positions : torch.Tensor
        Indices of these labels among all labels of the batch, int64 [P].
    labels : torch.Tensor
        Item ids of the labels, [P].
    candidates : torch.Tensor
        Item ids of all candidates, [n].
    rows : torch.Tensor
        Index of each label in `candidates`, [P].
    negatives : torch.Tensor
        Item ids of sampled negatives: [num_negatives], shared, for SS; one each, [P], for BCE;
        none otherwise.
    """

    positions: Tensor
    labels: Tensor
    candidates: Tensor
    rows: Tensor
    negatives: Tensor


class ItemVectors(NamedTuple):
    """Vectors of the items that a batch needs.

    Attributes
    ----------
    vectors : torch.Tensor
        [n, d].
    bias : torch.Tensor or None
        [n].
    ids : torch.Tensor or None
        The item id of each row, rising, int64 [n]; None: row i is item id i.
    """

    vectors: Tensor
    bias: Tensor | None
    ids: Tensor | None = None

    def index_of(self, ids: Tensor) -> Tensor:
        """Return the rows of item ids that are among `ids`, int64 of the same shape."""
        return ids if self.ids is None else torch.searchsorted(self.ids, ids)

    def of(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return vectors [m, d] and biases [m] (or None) of item ids [m]."""
        rows = self.index_of(ids)
        return self.vectors[rows], None if self.bias is None else self.bias[rows]


class NextItemLoss(nn.Module):
    """Loss of labels against the candidates of their domain, or all items; it has no parameters.

    Items without any training interaction never are a label: as candidates they would only learn
    to be ranked last, and a new item is recommended to nobody [ours].

    Parameters
    ----------
    kind : str
        ``CE`` (cross-entropy over all candidates), ``SS`` (sampled softmax) or ``BCE`` (binary,
        one negative per label); with any other value candidate sets have no negatives.
    num_negatives : int
        Negatives that a batch shares (SS).
    item_domain : torch.Tensor
        Domain of each item id, -1 for the padding item, int64 [n_items].
    competes : torch.Tensor
        Which items are candidates, bool [n_items].

    Attributes
    ----------
    smoothing : TargetSmoothing or None
        Smooths the targets of ``CE``.
    """

    def __init__(self, kind: str, num_negatives: int, item_domain: Tensor, competes: Tensor):
        super().__init__()
        self.kind, self.num_negatives = kind, num_negatives
        self.smoothing: TargetSmoothing | None = None
        self.num_domains = int(item_domain.max()) + 1
        self.register_buffer("item_domain", item_domain, persistent=False)
        groups = {"all": item_domain >= 0}
        groups |= {str(k): item_domain == k for k in range(self.num_domains)}
        for name, group in groups.items():
            items, row = index_of(group & competes)
            self.register_buffer(f"items_{name}", items, persistent=False)
            self.register_buffer(f"rows_{name}", row, persistent=False)

    def candidate_sets(self, labels: Tensor, scope: str) -> list[CandidateSet]:
        """Group labels [M] by the candidates that they compete with, and draw negatives.

        `scope` is ``all``, for one set, or ``target_domain``, for one per domain.
        """
        if scope == "all":
            groups = {"all": torch.arange(len(labels), device=labels.device)}
        else:
            domains = self.get_buffer("item_domain")[labels]
            groups = {str(k): (domains == k).nonzero().flatten() for k in range(self.num_domains)}
        return [self._candidate_set(name, at, labels) for name, at in groups.items()]

    def _candidate_set(self, name: str, positions: Tensor, labels: Tensor) -> CandidateSet:
        ids, candidates = labels[positions], self.get_buffer(f"items_{name}")
        rows = self.get_buffer(f"rows_{name}")[ids]
        negatives = ids[:0]
        if self.kind == "SS" and len(candidates):
            drawn = torch.randint(len(candidates), (self.num_negatives,), generator=generator())
            negatives = candidates[drawn]
        elif self.kind == "BCE":
            negatives = candidates[losses.draw_others(rows, len(candidates))]
        return CandidateSet(positions, ids, candidates, rows, negatives)

    def project(
        self, table: ItemTable, sets: Sequence[CandidateSet], inputs: Tensor | None = None
    ) -> ItemVectors:
        """Compute the vectors that labels, negatives and `inputs` (item ids) need, each once."""
        if self.kind == "CE":
            return ItemVectors(*table(None))
        some = [ids for one in sets for ids in (one.labels, one.negatives)]
        needed = torch.cat(some if inputs is None else [*some, inputs.flatten()]).unique()
        return ItemVectors(*table(needed), needed)

    def forward(
        self, states: Sequence[Tensor], sets: Sequence[CandidateSet], items: ItemVectors
    ) -> Tensor:
        """Return the loss of all labels, summed.

        Parameters
        ----------
        states : sequence of torch.Tensor
            Per candidate set the state at each of the batch's labels, [M, d]; a single one serves
            all sets.
        sets : sequence of CandidateSet
            The labels.
        items : ItemVectors
            Vectors of candidates, or of labels and negatives.
        """
        if len(states) == 1:
            states = list(states) * len(sets)
        total = items.vectors.new_zeros(())
        for state, one in zip(states, sets, strict=True):
            total = total + self._loss(state[one.positions], one, items)
        return total

    def _loss(self, states: Tensor, one: CandidateSet, items: ItemVectors) -> Tensor:
        if not len(states):
            return states.sum()
        if self.kind == "CE":
            loss = losses.cross_entropy(states, *items.of(one.candidates), one.rows)
            if self.smoothing is None or not self.smoothing.share:
                return loss
            # under CE the vectors are those of all items, in the order of their ids
            return loss + self.smoothing.correction(states, one.labels, items.vectors, items.bias)
        positive = _pair_scores(states, *items.of(one.labels))
        vectors, bias = items.of(one.negatives)
        if self.kind == "BCE":
            return losses.binary_cross_entropy(positive, _pair_scores(states, vectors, bias))
        scores = states @ vectors.T
        if bias is not None:
            scores = scores + bias
        is_label = one.negatives == one.labels.unsqueeze(1)
        return losses.sampled_softmax(positive, scores, is_label, len(one.candidates))


def index_of(members: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ids of members (bool [n_items]), int64 [n], and each id's index, [n_items]."""
    ids = members.nonzero().flatten()
    row = torch.zeros(len(members), dtype=torch.int64)
    row[ids] = torch.arange(len(ids))
    return ids, row


def rows_in_domains(item_domain: Tensor, num_domains: int) -> Tensor:
    """Return each item's index among the items of its domain, int64 [n_items]; 0 outside all."""
    rows = torch.zeros(len(item_domain), dtype=torch.int64)
    for k in range(num_domains):
        rows += index_of(item_domain == k)[1]
    return rows


def _pair_scores(states: Tensor, vectors: Tensor, bias: Tensor | None) -> Tensor:
    score = (states * vectors).sum(1)
    return score if bias is None else score + bias
