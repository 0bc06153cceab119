"""Base of this package's sequential models: domains, scoring per domain, next-item losses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model.candidate_sets import ItemTable, ItemVectors, NextItemLoss, rows_in_domains
from recbole_edt.model.precision import autocast, full_precision
from recbole_edt.model.protocols import SINGLE_PHASE, KeyedConfig
from recbole_edt.model.smoothing import SmoothingSettings, TargetSmoothing, nearest_items
from recbole_edt.recbole_bridge import InputType, Interaction, SequentialRecommender

PUBLISHED = "published"
"""The ``loss_type`` of a baseline's paper, beside those that all models share."""


class CrossDomainModel(SequentialRecommender):
    """Base of the models that train on windows of mixed sequences over K domains.

    A subclass gives `calculate_loss`, `last_states` and `score_table`. Items of domain k are
    scored by <state of domain k, vector> + bias.

    Parameters
    ----------
    config : EDTConfig
        ``loss_type``, ``loss_scope``, ``num_negatives``, ``unseen_negatives``, ``precision``,
        ``target_smoothing`` and what belongs to it, and ``MAX_ITEM_LIST_LENGTH``.
    dataset : CrossDomainDataset
        The training part.

    Attributes
    ----------
    num_domains : int
        K.
    item_domain, row_in_domain : torch.Tensor
        Domain of each item id (-1 for the padding item), and its index among the items of its
        domain, int64 [n_items].
    next_item : NextItemLoss
        The losses that all models share.
    """

    input_type = InputType.POINTWISE
    trains_on_windows = True
    shares_batches = True
    smooths_targets = True
    item_domain: Tensor
    row_in_domain: Tensor

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.max_length: int = config["MAX_ITEM_LIST_LENGTH"]
        self.precision: str = config["precision"]
        self.loss_type: str = config["loss_type"]
        self.loss_scope: str = config["loss_scope"]
        self.num_negatives: int = config["num_negatives"]
        self.num_domains = len(dataset.domains)
        self._set_domains(dataset.item_domain)
        competes = torch.ones(self.n_items, dtype=torch.bool)
        if not config["unseen_negatives"]:
            competes = torch.from_numpy(dataset.seen_items())
        self.next_item = NextItemLoss(
            self.loss_type, self.num_negatives, dataset.item_domain, competes
        )
        phases = config["phases"] or getattr(self, "phases", None) or (SINGLE_PHASE,)
        self._smoothing = {p: SmoothingSettings.from_config(config, p) for p in phases}
        if any(settings.share for settings in self._smoothing.values()):
            self.next_item.smoothing = self._target_smoothing(dataset)
            self.smooth_targets(phases[0])
        self._table: tuple[Tensor, Tensor | None] | None = None
        self._domain_tables: dict[int, tuple[Tensor, Tensor | None]] = {}

    def append_items(self, domains: Tensor) -> None:
        """Append items of some domains, int64 [n], to those that are scored."""
        self._set_domains(torch.cat([self.item_domain, domains.to(self.item_domain.device)]))
        self.n_items = len(self.item_domain)
        self._discard_tables()

    def _set_domains(self, item_domain: Tensor) -> None:
        rows = rows_in_domains(item_domain.cpu(), self.num_domains).to(item_domain.device)
        for k in range(self.num_domains):
            items = (item_domain == k).nonzero().flatten()
            self.register_buffer(f"domain_items_{k}", items, persistent=False)
        self.register_buffer("item_domain", item_domain, persistent=False)
        self.register_buffer("row_in_domain", rows, persistent=False)

    def _target_smoothing(self, dataset: CrossDomainDataset) -> TargetSmoothing:
        """Return the neighbours of all items that may be labels, as many as any phase asks for."""
        vectors = torch.from_numpy(dataset.item_vectors())
        groups = [self.members(k) for k in range(self.num_domains)]
        labels = torch.from_numpy(dataset.seen_items())
        known = torch.from_numpy(dataset.item_counts() > 0)
        count = max(settings.neighbours for settings in self._smoothing.values())
        return TargetSmoothing(*nearest_items(vectors, labels, known, groups, count))

    def smooth_targets(self, phase: str) -> None:
        """Smooth the targets of the shared cross-entropy as the keys of a phase have it."""
        if self.next_item.smoothing is not None:
            self.next_item.smoothing.use(self._smoothing[phase])

    def members(self, domain: int) -> Tensor:
        """Return the item ids of a domain, int64 [n_k]."""
        return self.get_buffer(f"domain_items_{domain}")

    def last_states(self, interaction: Interaction) -> Sequence[Tensor]:
        """Return what scores the items of each domain after each history, K times [B, d]."""
        raise NotImplementedError

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of all items [n_items, d] and their biases [n_items] or None."""
        raise NotImplementedError

    def whole_table(self) -> tuple[Tensor, Tensor | None]:
        """Return `score_table`, computed once until weights or the mode change."""
        if self._table is None:
            with torch.no_grad(), full_precision(self.item_domain.device):
                self._table = self.score_table()
        return self._table

    def item_representations(self) -> Tensor:
        """Return the vectors that items are scored by, [n_items, d]."""
        return self.whole_table()[0]

    def _domain_table(self, domain: int) -> tuple[Tensor, Tensor | None]:
        """Return the rows of `whole_table` of one domain's items, side by side in memory."""
        if domain not in self._domain_tables:
            (vectors, bias), members = self.whole_table(), self.members(domain)
            self._domain_tables[domain] = vectors[members], None if bias is None else bias[members]
        return self._domain_tables[domain]

    def _discard_tables(self) -> None:
        """Discard what was computed from the weights."""
        self._table = None
        self._domain_tables = {}

    def table_of_all(self) -> ItemVectors:
        """Return `whole_table` in the form that `NextItemLoss` reads."""
        vectors, bias = self.whole_table()
        return ItemVectors(vectors, bias, torch.arange(self.n_items, device=vectors.device))

    def train(self, mode: bool = True) -> "CrossDomainModel":
        """Switch dropout, and discard what was computed from the weights."""
        super().train(mode)
        self._discard_tables()
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, and discard what was computed from the old ones."""
        self._discard_tables()
        return super().load_state_dict(state_dict, strict, assign)

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Return histories cut to the longest, int64 [B, L], and their lengths [B]."""
        lengths = interaction[self.ITEM_SEQ_LEN]
        return interaction[self.ITEM_SEQ][:, : int(lengths.max())], lengths

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Return the scores of all items after each history, [B, n_items]."""
        states = self._last_states(interaction)
        scores = states[0].new_empty(len(states[0]), self.n_items)
        scores[:, 0] = -torch.inf
        for k, state in enumerate(states):
            scores[:, self.members(k)] = self._scores_of_domain(k, state)
        return scores

    def domain_scores(self, interaction: Interaction, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the scores of each domain's items; see `protocols.ScoresDomains`."""
        for k, (state, some) in enumerate(zip(self._last_states(interaction), rows, strict=True)):
            yield self._scores_of_domain(k, state[some])

    def _last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return `last_states` as float32, encoded in the key ``precision``.

        The products with item vectors are taken in float32: bfloat16 has so few digits that items
        would tie.
        """
        with autocast(self.precision, self.item_domain.device):
            return [state.float() for state in self.last_states(interaction)]

    def _scores_of_domain(self, domain: int, states: Tensor) -> Tensor:
        vectors, bias = self._domain_table(domain)
        return states @ vectors.T if bias is None else torch.addmm(bias, states, vectors.T)

    def predict(self, interaction: Interaction) -> Tensor:
        """Return the score of one item after each history, [B]."""
        vectors, bias = self.whole_table()
        states = torch.stack(self._last_states(interaction), dim=1)
        item = interaction[self.ITEM_ID]
        state = states[torch.arange(len(item), device=item.device), self.item_domain[item]]
        score = (state * vectors[item]).sum(1)
        return score if bias is None else score + bias[item]

    def next_item_loss(self, states: Sequence[Tensor], labels: Tensor, table: ItemTable) -> Tensor:
        """Return the loss ``loss_type`` of M labels, summed.

        Parameters
        ----------
        states : sequence of torch.Tensor
            Per domain the state that scores its items at each label, [M, d]; a single one serves
            all domains.
        labels : torch.Tensor
            Item ids, int64 [M].
        table : callable
            Gives the items' vectors.
        """
        sets = self.next_item.candidate_sets(labels, self.loss_scope)
        return self.next_item(states, sets, self.next_item.project(table, sets))
