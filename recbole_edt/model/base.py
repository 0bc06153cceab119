"""What this package's sequential models share: domains, next-item losses, scoring."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model import losses
from recbole_edt.recbole_bridge import InputType, SequentialRecommender

Table = Callable[[Tensor | None], tuple[Tensor, Tensor | None]]
"""Vectors [n, d] and biases [n] (or None) of some item ids [n]; of all items when given None."""

PUBLISHED = "published"
"""The ``loss_type`` of a baseline's own paper, beside those that all models share."""


class CrossDomainModel(SequentialRecommender):
    """Base of the models that train on windows of mixed sequences over K domains.

    A subclass gives `calculate_loss`, `last_states` and `score_table`. Items of domain k are
    scored by <state of domain k, vector> + bias.

    Parameters
    ----------
    config : EDTConfig
        ``loss_type`` and, unless the loss is of the model's own, ``loss_scope``,
        ``num_negatives`` and ``unseen_negatives``; ``MAX_ITEM_LIST_LENGTH``.
    dataset : CrossDomainDataset
        The training part.

    Attributes
    ----------
    num_domains : int
        K.
    item_domain, row_in_domain : torch.Tensor
        Domain of each item id (-1 for the padding item), and its place among the items of its
        domain, int64 [n_items].
    """

    input_type = InputType.POINTWISE
    trains_on_windows = True
    item_domain: Tensor
    row_in_domain: Tensor

    def __init__(self, config: Any, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.max_length: int = config["MAX_ITEM_LIST_LENGTH"]
        self.loss_type: str = config["loss_type"]
        self.loss_scope: str = config["loss_scope"]
        self.num_negatives: int = config["num_negatives"]
        self.unseen_negatives: bool = config["unseen_negatives"]
        self.num_domains = len(dataset.domains)
        self._set_domains(dataset.item_domain)
        self._set_competitors(dataset)
        self._table: tuple[Tensor, Tensor | None] | None = None

    def _set_domains(self, item_domain: Tensor) -> None:
        members = [torch.nonzero(item_domain == k).flatten() for k in range(self.num_domains)]
        row = torch.zeros_like(item_domain)
        for items in members:
            row[items] = torch.arange(len(items))
        self.register_buffer("item_domain", item_domain, persistent=False)
        self.register_buffer("row_in_domain", row, persistent=False)
        for k, items in enumerate(members):
            self.register_buffer(f"domain_items_{k}", items, persistent=False)

    def _set_competitors(self, dataset: CrossDomainDataset) -> None:
        """Choose which items compete in the shared losses, overall and per domain.

        Items without any training interaction never are the answer: as competitors they would
        only learn to be ranked last, and a new item is recommended to nobody [ours].
        """
        competes = torch.ones(self.n_items, dtype=torch.bool)
        if not self.unseen_negatives:
            competes = torch.from_numpy(dataset.seen_items())
        competes[0] = False
        groups = [dataset.item_domain == k for k in range(self.num_domains)]
        for name, group in (("all", torch.ones_like(competes)), *enumerate(groups)):
            items = torch.nonzero(group & competes).flatten()
            row = torch.zeros(self.n_items, dtype=torch.int64)
            row[items] = torch.arange(len(items))
            self.register_buffer(f"competitors_{name}", items, persistent=False)
            self.register_buffer(f"competitor_rows_{name}", row, persistent=False)

    def members(self, domain: int) -> Tensor:
        """Return the item ids of a domain, int64 [n_k]."""
        return self.get_buffer(f"domain_items_{domain}")

    def separate_parts(self, phase: str) -> list[str] | None:
        """Return one prefix of parameter names per domain if domains do not touch each other.

        The trainer then keeps the best epoch of each; None: one best epoch for all.
        """
        return None

    # ----------------------------------------------------------------- scoring

    def last_states(self, interaction: Any) -> Sequence[Tensor]:
        """Return what scores the items of each domain after each history, K times [B, d]."""
        raise NotImplementedError

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of all items [n_items, d] and their biases [n_items] or None."""
        raise NotImplementedError

    def whole_table(self) -> tuple[Tensor, Tensor | None]:
        """Return `score_table`, computed once until weights or the mode change."""
        if self._table is None:
            with torch.no_grad():
                self._table = self.score_table()
        return self._table

    def train(self, mode: bool = True) -> "CrossDomainModel":
        """Switch dropout, and forget what was computed from the weights."""
        super().train(mode)
        self._table = None
        return self

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load weights, and forget what was computed from the old ones."""
        self._table = None
        return super().load_state_dict(*args, **kwargs)

    def history(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Return histories cut to the longest, int64 [B, L], and their lengths [B]."""
        lengths = interaction[self.ITEM_SEQ_LEN]
        return interaction[self.ITEM_SEQ][:, : int(lengths.max())], lengths

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Return the scores of all items after each history, [B, n_items]."""
        vectors, bias = self.whole_table()
        states = self.last_states(interaction)
        scores = vectors.new_empty(len(states[0]), self.n_items)
        scores[:, 0] = -torch.inf
        for k, state in enumerate(states):
            members = self.members(k)
            block = state @ vectors[members].T
            scores[:, members] = block if bias is None else block + bias[members]
        return scores

    def predict(self, interaction: Any) -> Tensor:
        """Return the score of one item after each history, [B]."""
        vectors, bias = self.whole_table()
        states = torch.stack(list(self.last_states(interaction)), dim=1)
        item = interaction[self.ITEM_ID]
        state = states[torch.arange(len(item), device=item.device), self.item_domain[item]]
        score = (state * vectors[item]).sum(1)
        return score if bias is None else score + bias[item]

    # ------------------------------------------------------------------- losses

    def next_item_loss(self, states: Sequence[Tensor], targets: Tensor, table: Table) -> Tensor:
        """Return the loss ``loss_type`` of M labels, summed.

        Parameters
        ----------
        states : sequence of torch.Tensor
            Per domain the state that scores its items at each label, [M, d]; a single one serves
            all domains.
        targets : torch.Tensor
            The labels, int64 [M].
        table : callable
            Gives the items' vectors.
        """
        pools = self.pools(targets, self.loss_scope)
        vectors, bias, row = self.project(table, pools)
        return self.pool_losses(states, pools, vectors, bias, row)

    def pools(self, targets: Tensor, scope: str) -> list["Pool"]:
        """Group labels [M] by the candidates that they compete with, and draw negatives."""
        if scope == "all":
            groups = {"all": torch.arange(len(targets), device=targets.device)}
        else:
            domains = self.item_domain[targets]
            groups = {str(k): (domains == k).nonzero().flatten() for k in range(self.num_domains)}
        return [self._pool(name, positions, targets) for name, positions in groups.items()]

    def _pool(self, name: str, positions: Tensor, targets: Tensor) -> "Pool":
        ids, candidates = targets[positions], self.get_buffer(f"competitors_{name}")
        rows = self.get_buffer(f"competitor_rows_{name}")[ids]
        drawn = ids[:0]
        if self.loss_type == "SS" and len(candidates):
            drawn = candidates[torch.randint(len(candidates), (self.num_negatives,))]
        elif self.loss_type == "BCE":
            drawn = candidates[losses.draw_others(rows, len(candidates))]
        return Pool(positions, ids, candidates, rows, drawn)

    def project(
        self, table: Table, pools: Sequence["Pool"], inputs: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Project each item that the batch needs once.

        Returns
        -------
        tuple
            Vectors [n, d], biases [n] or None, and the row of every item id in them [n_items].
        """
        every_row = torch.arange(self.n_items, device=self.item_domain.device)
        if self.loss_type == "CE":
            return (*table(None), every_row)
        some = [t for p in pools for t in (p.ids, p.drawn)]
        needed = torch.cat(some if inputs is None else [*some, inputs.flatten()]).unique()
        row = torch.zeros_like(every_row)
        row[needed] = torch.arange(len(needed), device=needed.device)
        return (*table(needed), row)

    def pool_losses(
        self,
        states: Sequence[Tensor],
        pools: Sequence["Pool"],
        vectors: Tensor,
        bias: Tensor | None,
        row: Tensor,
    ) -> Tensor:
        """Return the summed loss of pools; see `next_item_loss` and `project`."""
        if len(states) == 1:
            states = list(states) * len(pools)
        total = vectors.new_zeros(())
        for state, pool in zip(states, pools, strict=True):
            total = total + self._pool_loss(state[pool.positions], pool, vectors, bias, row)
        return total

    def _pool_loss(
        self, states: Tensor, pool: "Pool", vectors: Tensor, bias: Tensor | None, row: Tensor
    ) -> Tensor:
        if not len(states):
            return states.sum()
        if self.loss_type == "CE":
            at = row[pool.candidates]
            some_bias = None if bias is None else bias[at]
            return losses.cross_entropy(states, vectors[at], some_bias, pool.rows)
        positive = _score(states, vectors, bias, row[pool.ids])
        if self.loss_type == "BCE":
            negative = _score(states, vectors, bias, row[pool.drawn])
            return losses.binary_cross_entropy(positive, negative)
        at = row[pool.drawn]
        negatives = states @ vectors[at].T
        if bias is not None:
            negatives = negatives + bias[at]
        is_label = pool.drawn == pool.ids.unsqueeze(1)
        return losses.sampled_softmax(positive, negatives, is_label, len(pool.candidates))


class Pool(NamedTuple):
    """Labels that compete with the same candidates.

    Attributes
    ----------
    positions : torch.Tensor
        Which labelled positions these are, int64 [P].
    ids : torch.Tensor
        Their labels as item ids, [P].
    candidates : torch.Tensor
        Item ids of all candidates, [n].
    rows : torch.Tensor
        The labels as rows of `candidates`, [P].
    drawn : torch.Tensor
        Item ids of sampled negatives: shared [num_negatives] for SS, one each [P] for BCE.
    """

    positions: Tensor
    ids: Tensor
    candidates: Tensor
    rows: Tensor
    drawn: Tensor


def _score(states: Tensor, vectors: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
    score = (states * vectors[rows]).sum(1)
    return score if bias is None else score + bias[rows]
