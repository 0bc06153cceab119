"""ABXI, C2DSR, LLM4CDSR and Tri-CDR as graphs."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from recbole_edt.export.numbering import Numbering
from recbole_edt.export.scorers import StateScorer
from recbole_edt.export.sequences import packed, state_at
from recbole_edt.model.baselines.abxi import ABXI
from recbole_edt.model.baselines.c2dsr import C2DSR
from recbole_edt.model.baselines.llm4cdsr import LLM4CDSR
from recbole_edt.model.baselines.llm4cdsr_encoder import LLM4CDSREncoder
from recbole_edt.model.baselines.sasrec_encoder import SASRecEncoder
from recbole_edt.model.baselines.tri_attention import TripleAttention
from recbole_edt.model.baselines.tricdr import TargetPart, TriCDR, Views


class ABXIScorer(StateScorer):
    """`ABXI`: z_k after the last item of the mixed sequence and of domain k's own."""

    def __init__(self, model: ABXI, numbering: Numbering):
        super().__init__(model, numbering)
        self.model = model

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return z_k, [B, d] for each domain."""
        mixed = self._last_state(items, 0)
        projected = self.model.project_shared(mixed)
        states = []
        for k in self.numbering.slices:
            own, count = self._own(items, k)
            state = self._last_state(own, 1 + k) * (count > 0).unsqueeze(1)
            states.append(self.model.query(k, mixed, projected, state))
        return states

    def _last_state(self, items: Tensor, thread: int) -> Tensor:
        """Return a thread's state at the last item of packed sequences, [B, d]."""
        model, real = self.model, items > 0
        to_end = real.flip(1).cumsum(1).flip(1)
        tokens = self.vectors[items] + model.positions(to_end)
        u = model.attention_norm(state_at(tokens, real.sum(1)) + self._attend(tokens, real))
        common = u + model.shared(u)
        return model.thread_norms[thread](common + model.thread_maps[thread](u))

    def _attend(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return `RowAttention` for the last item of each sequence only, [B, d]."""
        attention, (rows, width) = self.model.attention, real.shape
        heads = attention.query_key_value(tokens).view(rows, width, 3, attention.n_heads, -1)
        count = real.sum(1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        last = (count - 1).clamp(min=0).view(-1, 1, 1, 1)
        query = query.gather(2, last.expand(-1, query.shape[1], -1, query.shape[3]))
        size = query.shape[3]
        logits = (query @ key.transpose(2, 3)) / math.sqrt(size)
        logits = logits.masked_fill(~real.view(rows, 1, 1, width), -torch.inf)
        if self.model.attend_padding:  # one more key for all empty slots, as in `RowAttention`
            _, empty_key, empty_value = attention.query_key_value.bias.view(
                3, 1, attention.n_heads, 1, size
            )
            number = (self.model.max_length - count).to(tokens.dtype).log().view(-1, 1, 1, 1)
            empty = (query @ empty_key.transpose(2, 3)) / math.sqrt(size) + number
            weights = torch.cat([empty, logits], dim=3).softmax(3)
            mixed = weights[..., :1] * empty_value + weights[..., 1:] @ value
        else:
            # without any item all logits are -inf; the state is not used then
            mixed = torch.nan_to_num(logits.softmax(3)) @ value
        return attention.out(mixed.transpose(1, 2).reshape(rows, -1))


class C2DSRScorer(StateScorer):
    """`C2DSR`: h_T + h^k at the last item of each domain."""

    mixed_tokens: Tensor
    own_tokens: Tensor

    def __init__(self, model: C2DSR, numbering: Numbering):
        super().__init__(model, numbering)
        mixed, own = model.tokens()
        self._keep("mixed_tokens", mixed)
        self._keep("own_tokens", own)
        self.mixed = model.mixed_encoder
        self.encoders = nn.ModuleList(model.own_encoders[k] for k in numbering.slices)

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return h_T + h^k, [B, d] for each domain."""
        mixed = state_at(self.mixed(self.mixed_tokens[items], items > 0), lengths)
        position = torch.arange(items.shape[1], device=items.device)
        states = []
        for k, encoder in zip(self.numbering.slices, self.encoders, strict=True):
            inside = self.domains[items] == k
            own = cast(SASRecEncoder, encoder)(self.own_tokens[items], inside)
            last = torch.where(inside, position + 1, 0).amax(1)
            states.append(mixed + state_at(own, last))
        return states


class LLM4CDSRScorer(StateScorer):
    """`LLM4CDSR`: the state of the mixed sequence beside that of domain k's own."""

    def __init__(self, model: LLM4CDSR, numbering: Numbering):
        super().__init__(model, numbering)
        self.width = model.width
        self.scales = model.mixed_scale, model.own_scale
        self.mixed = model.mixed
        self.threads = nn.ModuleList(model.threads[k] for k in numbering.slices)

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return [h; h^k], [B, 2 d] for each domain."""
        adapted = self.vectors[items][:, :, : self.width] * self.scales[0]
        mixed = state_at(self.mixed(adapted, lengths), lengths)
        states = []
        for k, thread in zip(self.numbering.slices, self.threads, strict=True):
            own, count = self._own(items, k)
            vectors = self.vectors[own][:, :, self.width :] * self.scales[1]
            hidden = cast(LLM4CDSREncoder, thread)(vectors, count)
            state = state_at(hidden, count) * (count > 0).unsqueeze(1)
            states.append(torch.cat([mixed, state], dim=1))
        return states


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
            other = packed(items, (items > 0) & ~inside)
            own, seen_own = self._own(items, k)
            target = self._encode(part.target_encoder, "target_items", own)
            source = self._encode(part.source_encoder, f"source_items_{k}", other)
            seen_other = (other > 0).sum(1)
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
