"""Tri-CDR: mixed, source and target sequences under one attention, for every target domain."""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model import losses
from recbole_edt.model.backbone import check_heads
from recbole_edt.model.base import PUBLISHED, CrossDomainModel
from recbole_edt.model.baselines.sasrec_encoder import SASRecEncoder
from recbole_edt.model.baselines.tri_attention import TripleAttention
from recbole_edt.model.baselines.unseen import UnseenItems
from recbole_edt.model.batch_share import gather_rows, mean, shares, total
from recbole_edt.model.domain_rows import DomainRows
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction

_PAIRS = ((0, 1), (0, 2), (1, 2))  # of mixed, source, target, in the order of contrastive_rates


class Views(NamedTuple):
    """What each of M slots reads: c^mix, c^src, c^tgt, each [M, d], and whether it has a source."""

    mixed: Tensor
    source: Tensor
    target: Tensor
    has_source: Tensor


class TargetPart(nn.Module):
    """What belongs to one target domain: two encoders, the attention, fusion and three heads."""

    def __init__(self, width: int, encoders: Sequence[SASRecEncoder]):
        super().__init__()
        self.source_encoder, self.target_encoder = encoders
        self.attention = TripleAttention(width)
        self.fusion = nn.Sequential(
            nn.Linear(3 * width, width), nn.LeakyReLU(0.01), nn.Linear(width, width)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(3)
        )


class TriCDR(CrossDomainModel):
    """H. Ma et al., "Triple Sequence Learning for Cross-domain Recommendation", ACM TOIS 2024.

    arXiv 2304.05027; facts from the authors' release (github.com/hulkima/Tri-CDR), none of its
    text. For target domain k the source is every other domain. From the state q of the last item
    of domain k, one attention reads the mixed, the source and the target sequence up to there;
    the fused vector u^k scores item i by ``logit_scale`` * cos(u^k, e_i).

    Loss: sum over k of L_rec + ``contrastive_weight`` * NTXent over pairs of the three views
    + ``triplet_weight`` * TripletMargin(source; mixed, target), the last two at the last labelled
    slot of each window, through a projection head per view.

    What differs from the release:

    - all targets in one model: the mixed encoder is shared, each target has its own source and
      target encoder, attention, fusion and heads, and the losses are added; the release trains
      one model per direction;
    - any number of domains; the source of a target is the mixed sequence without its items;
    - nothing is pretrained: the release starts from SASRec models of the three sequences;
    - one table holds the items of all target encoders, which never share a row;
      ``item_tables: shared`` uses one for the other encoders too;
    - sequences are padded on the right, so that no state sees padding, and positions count from
      the oldest item read; windows, each once per epoch, replace users drawn with replacement;
    - a slot without an earlier source item gets a zero vector for it, and stays out of the
      contrastive and triplet terms; the release averages over all slots, later ones included. So
      does a user without any item of the target domain, who is scored by the other views;
    - vectors are normalised over their own dimensions when ranking too; the release normalises
      over the candidates there;
    - epochs are chosen on validation; the release chooses on test;
    - Adam's second beta is torch's .999, not .98, and the learning rate stays constant (release:
      times .99 per epoch);
    - ``loss_type`` CE, SS or BCE puts the loss that all models share in place of L_rec, which is
      binary with one negative outside the user's training items when it is ``published``.

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in docs/keys.md.
    dataset : CrossDomainDataset
        The training part; gives domains and training sequences.

    Raises
    ------
    UserError
        For an unknown loss or sizes that do not fit together.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width = config["hidden_size"]
        check_heads(width, config["n_heads"])
        self.scale, self.logit_scale = math.sqrt(width), config["logit_scale"]
        self.contrastive_weight = config["contrastive_weight"]
        self.temperature = config["contrastive_temperature"]
        rates = config["contrastive_rates"]
        self.rates = [rate / sum(rates) for rate in rates]  # sum 1
        self.triplet_weight = config["triplet_weight"]
        self.triplet_margin = config["triplet_margin"]
        encoders = [SASRecEncoder(config) for _ in range(2 * self.num_domains + 1)]
        self.mixed_encoder = encoders.pop()
        self.targets = nn.ModuleList(
            TargetPart(width, encoders[2 * k : 2 * k + 2]) for k in range(self.num_domains)
        )
        self.mixed_items = nn.Embedding(self.n_items, width, padding_idx=0)
        self.target_items, self.source_items = None, None
        if config["item_tables"] == "separate":
            self.target_items = nn.Embedding(self.n_items, width, padding_idx=0)
            self.source_items = nn.ModuleList(
                nn.Embedding(self.n_items, width, padding_idx=0) for _ in self.targets
            )
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        for module in self.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx].detach())
        users, items = (a.astype(np.int64) for a in dataset.training_sequences()[:2])
        in_domain = self.loss_scope == "target_domain"
        everything = torch.arange(self.n_items) - 1
        self.unseen = UnseenItems(
            users,
            items,
            self.item_domain if in_domain else torch.zeros_like(everything),
            self.row_in_domain if in_domain else everything,
        )

    # ------------------------------------------------------------------- states

    def _encode(self, encoder: SASRecEncoder, table: nn.Embedding, ids: Tensor) -> Tensor:
        if not ids.shape[1]:
            return table.weight.new_zeros(len(ids), 0, table.embedding_dim)
        return encoder(table(ids) * self.scale, ids > 0)

    def mixed_states(self, ids: Tensor) -> Tensor:
        """Return H^mix of sequences [B, L] as [B, L, d]."""
        return self._encode(self.mixed_encoder, self.mixed_items, ids)

    def views(self, domain: int, ids: Tensor, mixed: Tensor, user: Tensor, slot: Tensor) -> Views:
        """Read the three sequences for target `domain`, from M slots of mixed sequences.

        Parameters
        ----------
        domain : int
            The target domain.
        ids, mixed : torch.Tensor
            Mixed sequences, int64 [B, L], and their states, [B, L, d].
        user, slot : torch.Tensor
            Row and column of each slot, int64 [M]; everything up to the column is visible.
        """
        part = cast(TargetPart, self.targets[domain])
        inside = self.item_domain[ids] == domain
        own, other = DomainRows(inside), DomainRows((ids > 0) & ~inside)
        target = self._encode(part.target_encoder, self.target_table(), own.pack(ids))
        source = self._encode(part.source_encoder, self.source_table(domain), other.pack(ids))
        seen_own, seen_other = own.seen[user, slot], other.seen[user, slot]
        query = mixed.new_zeros(len(user), mixed.shape[2])
        if own.length:
            query = target[user, (seen_own - 1).clamp(min=0)] * (seen_own > 0).unsqueeze(1)
        # mean of the mixed states so far
        context = mixed.cumsum(1)[user, slot] / (slot + 1).unsqueeze(1)
        attend, rest = part.attention, (query, context, user)
        return Views(
            attend(*rest, mixed, slot + 1),
            attend(*rest, source, seen_other),
            attend(*rest, target, seen_own),
            seen_other > 0,
        )

    def source_table(self, domain: int) -> nn.Embedding:
        """Return the item vectors that the source sequences of a target domain are made of."""
        if self.source_items is None:
            return self.mixed_items
        return cast(nn.Embedding, self.source_items[domain])

    def target_table(self) -> nn.Embedding:
        """Return the item vectors of target sequences and candidates."""
        return self.mixed_items if self.target_items is None else self.target_items

    def _candidates(self, ids: Tensor | None) -> tuple[Tensor, None]:
        weight = self.target_table().weight
        return F.normalize(weight if ids is None else F.embedding(ids, weight), dim=1), None

    def query(self, domain: int, views: Views) -> Tensor:
        """Return logit_scale u / |u|, which scores a domain's items, [M, d].

        u = W2 LeakyReLU(W1 [c^mix; c^src; c^tgt]).
        """
        fusion = cast(TargetPart, self.targets[domain]).fusion
        return self.logit_scale * F.normalize(fusion(torch.cat(views[:3], dim=1)), dim=1)

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return ``logit_scale`` * u^k / |u^k| after each history, K times [B, d]."""
        ids, lengths = self.history(interaction)
        mixed, user = self.mixed_states(ids), torch.arange(len(ids), device=ids.device)
        return [
            self.query(k, self.views(k, ids, mixed, user, lengths - 1))
            for k in range(self.num_domains)
        ]

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the unit vectors of all items [n_items, d]; there are no biases."""
        return self._candidates(None)

    # ------------------------------------------------------------------- losses

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the loss of a batch of windows."""
        return sum(self.loss_terms(interaction), start=torch.zeros(()))

    def loss_terms(self, interaction: Interaction) -> tuple[Tensor, Tensor, Tensor]:
        """Return the recommendation, contrastive and triplet loss, weighted, summed over targets.

        A target's slots are the labels of its domain that some item of the domain comes before.
        """
        ids, labels, users = interaction[ITEMS], interaction[LABELS], interaction[self.USER_ID]
        mixed = self.mixed_states(ids)
        nothing = 0.0 * mixed.sum()  # keeps a batch without any such label differentiable
        next_item, contrastive, triplet = nothing, nothing, nothing
        for k in range(self.num_domains):
            after_own = (self.item_domain[ids] == k).cumsum(1) > 0
            user, slot = ((self.item_domain[labels] == k) & after_own).nonzero(as_tuple=True)
            count = total(len(user))
            if not count:
                continue
            views, targets = self.views(k, ids, mixed, user, slot), labels[user, slot]
            loss = self._next_item(self.query(k, views), targets, users[user])
            next_item = next_item + loss / count
            last = F.pad(user[1:] != user[:-1], (0, 1), value=True) & views.has_source
            if total(last.sum()):
                heads = cast(TargetPart, self.targets[k]).heads
                projected = [head(view[last]) for head, view in zip(heads, views[:3], strict=True)]
                contrastive = contrastive + self._contrastive(projected)
                of_mixed, of_source, of_target = projected
                distances = F.triplet_margin_loss(
                    of_source, of_mixed, of_target, margin=self.triplet_margin, reduction="none"
                )
                triplet = triplet + mean(distances)
        return next_item, self.contrastive_weight * contrastive, self.triplet_weight * triplet

    def _next_item(self, queries: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        """Return the summed next-item loss of queries [M, d] with labels [M] of users [M]."""
        if self.loss_type != PUBLISHED:
            return self.next_item_loss([queries], targets, self._candidates)
        loss = queries.new_zeros(())
        in_domain = self.loss_scope == "target_domain"
        for group, one in enumerate(self.next_item.candidate_sets(targets, self.loss_scope)):
            if not total(len(one.labels)):
                continue
            some = queries[one.positions]
            rows, possible = self.unseen.draw(users[one.positions], group)
            positive, negative = (
                (some * self._candidates(ids)[0]).sum(1)
                for ids in (one.labels, self.members(group)[rows] if in_domain else rows + 1)
            )
            # a user who has every item of the domain has no negative
            loss = loss + losses.binary_cross_entropy(positive, negative[possible])
        return loss

    def _contrastive(self, projected: Sequence[Tensor]) -> Tensor:
        loss = projected[0].new_zeros(())
        for rate, (one, other) in zip(self.rates, _PAIRS, strict=True):
            loss = loss + rate * nt_xent(projected[one], projected[other], self.temperature)
        return loss


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss of B pairs: each vector finds its partner among 2B - 1 others.

    Parameters
    ----------
    first, second : torch.Tensor
        Partners, row by row, [B, d]; compared by their cosine.
    temperature : float
        Divides the cosines.

    Returns
    -------
    torch.Tensor
        Mean over all 2B vectors; of a share of a batch its part of the mean over all.
    """
    first, second = gather_rows(first.float(), second.float())
    both = F.normalize(torch.cat([first, second]), dim=1)
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    similarity = (both @ both.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(both), device=both.device).roll(len(first))
    return F.cross_entropy(similarity, partner) / shares()
