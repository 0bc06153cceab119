"""Tri-CDR as a graph."""

from typing import cast

import torch
from torch import Tensor

from recbole_edt.export.numbering import Numbering
from recbole_edt.export.scorers import StateScorer
from recbole_edt.export.sequences import packed, state_at
from recbole_edt.model.baselines.sasrec_encoder import SASRecEncoder
from recbole_edt.model.baselines.tri_attention import TripleAttention
from recbole_edt.model.baselines.tricdr import TargetPart, TriCDR, Views


class TriCDRScorer(StateScorer):
    """`TriCDR`: mixed, source and target sequences under one attention per target domain."""

    def __init__(self, model: TriCDR, numbering: Numbering):
        super().__init__(model, numbering)
        self.model = model
        self._keep("mixed_items", model.mixed_items.weight)
        for k in numbering.slices:
            self._keep(f"source_items_{k}", model.source_table(k).weight)
        self._keep("target_items", model.target_table().weight)

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return logit_scale u^k / |u^k|, [B, d] for each domain."""
        mixed = self._encode(self.model.mixed_encoder, "mixed_items", items)
        real = (items > 0).unsqueeze(2)
        context = (mixed * real).sum(1) / lengths.clamp(min=1).unsqueeze(1)
        states = []
        for k in self.numbering.slices:
            part = cast(TargetPart, self.model.targets[k])
            inside = self.domains[items] == k
            own, other = packed(items, inside), packed(items, (items > 0) & ~inside)
            target = self._encode(part.target_encoder, "target_items", own)
            source = self._encode(part.source_encoder, f"source_items_{k}", other)
            seen_own, seen_other = (own > 0).sum(1), (other > 0).sum(1)
            query = state_at(target, seen_own) * (seen_own > 0).unsqueeze(1)
            views = Views(
                _attend(part.attention, query, context, mixed, lengths),
                _attend(part.attention, query, context, source, seen_other),
                _attend(part.attention, query, context, target, seen_own),
                seen_other > 0,
            )
            states.append(self.model.query(k, views))
        return states

    def _encode(self, encoder: SASRecEncoder, table: str, items: Tensor) -> Tensor:
        return encoder(self.get_buffer(table)[items] * self.model.scale, items > 0)


def _attend(
    part: TripleAttention, query: Tensor, context: Tensor, states: Tensor, seen: Tensor
) -> Tensor:
    """Return `TripleAttention` for one query [B, d] per sequence [B, T, d]; all slots are scored.

    There the slots that nobody sees are left out.
    """
    of_state, of_query, of_product, of_difference, of_context = part.first.weight.chunk(5, 1)
    of_slots = states @ (of_state - of_difference).T
    of_queries = query @ (of_query + of_difference).T + context @ of_context.T + part.first.bias
    product = (states * query.unsqueeze(1)) @ of_product.T
    hidden = part.bend_first(of_slots + of_queries.unsqueeze(1) + product)
    score = part.last(part.bend_second(part.second(hidden))).squeeze(2)
    visible = torch.arange(states.shape[1], device=seen.device) < seen.unsqueeze(1)
    score = score.masked_fill(~visible, -torch.inf).masked_fill(seen.unsqueeze(1) == 0, 0.0)
    weights = score.softmax(1) * visible
    return (weights.unsqueeze(1) @ states).squeeze(1)
