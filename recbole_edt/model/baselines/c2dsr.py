"""C2DSR: graph-smoothed item vectors, a mixed encoder beside one per domain, and infomax."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model import losses
from recbole_edt.model.backbone import check_heads
from recbole_edt.model.base import PUBLISHED, CrossDomainModel
from recbole_edt.model.baselines.item_graph import GraphConvolution, successor_graph
from recbole_edt.model.baselines.sasrec_encoder import SASRecEncoder
from recbole_edt.model.batch_share import draw_rows, mean
from recbole_edt.model.batch_share import total as over_shares
from recbole_edt.model.domain_rows import last_seen
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction


class C2DSR(CrossDomainModel):
    """J. Cao et al., "Contrastive Cross-Domain Sequential Recommendation", CIKM 2022.

    arXiv 2304.03891; facts from the authors' release (github.com/cjx96/C2DSR), none of its text.
    h is the state of the mixed sequence, h^k that of domain k's own sequence, in which the slots
    of other domains are empty. An item i of domain k scores <h + h^k, w_i> + b_i.

    Loss: lambda * sum_k (L_sk + L_k) + (1 - lambda) * sum_k I_k. L_sk predicts the next item from
    h where it is of domain k; L_k predicts the next item of domain k from h + h^k at each item of
    domain k; both divided by all slots of the batch. I_k discriminates the mean of h over the
    labelled slots of the other domains from the same after domain k's items are replaced by
    random ones, by a bilinear form with the mean of h^k.

    What differs from the release:

    - any number of domains; at two, the terms above are the release's;
    - sequences are padded on the right and cut into windows, so that mixed states see no padding
      (inside a domain's sequence the empty slots take attention as in the release);
    - one item table for all domain sequences instead of one each (a domain's rows are read by
      no other domain, so nothing changes), and one head, split by domain;
    - sequences of users without a label in some domain are kept; they have no infomax term for it;
    - random replacements are drawn anew for each batch; the release draws them once;
    - all slots are trained on; ``loss_slots: 10`` is the release's;
    - the graph may leave out each user's last training item (``graph_last_item``);
    - items without any training interaction do not compete unless ``unseen_negatives`` is set;
    - Adam's second beta is torch's .999, not .98; one best epoch for all domains, on validation;
    - ``loss_type`` CE, SS or BCE puts the loss that all models share in position of L_sk and L_k,
      which are cross-entropies with one more logit for "padding" when it is ``published``.

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in docs/keys.md.
    dataset : CrossDomainDataset
        The training part; gives domains and training sequences.

    Raises
    ------
    UserError
        For sizes that do not fit together.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width, std = config["hidden_size"], config["initializer_range"]
        check_heads(width, config["n_heads"])
        self.loss_slots: int | None = config["loss_slots"]
        self.next_item_weight: float = config["next_item_weight"]
        self.scale = math.sqrt(width)
        self.mixed_items = nn.Embedding(self.n_items, width, padding_idx=0)
        self.own_items = nn.Embedding(self.n_items, width, padding_idx=0)
        for table in (self.mixed_items, self.own_items):
            nn.init.normal_(table.weight, std=std)
            nn.init.zeros_(table.weight[0].detach())
        users, items = (a.astype(np.int64) for a in dataset.training_sequences()[:2])
        drop_last, drop = not config["graph_last_item"], config["hidden_dropout_prob"]
        mixed = successor_graph(users, items, self.n_items, None, drop_last)
        own = successor_graph(users, items, self.n_items, dataset.item_domain.numpy(), drop_last)
        layers, domain = config["graph_layers"], self.item_domain.clamp(min=0)
        self.mixed_graph = GraphConvolution(mixed, torch.zeros_like(domain), width, layers, drop)
        self.own_graph = GraphConvolution(own, domain, width, layers, drop)
        encoders = [SASRecEncoder(config, std) for _ in range(self.num_domains + 1)]
        self.mixed_encoder, self.own_encoders = encoders[0], nn.ModuleList(encoders[1:])
        self.head = nn.Linear(width, self.n_items)
        self.padding_head = nn.Linear(width, 1)
        self.judges = nn.ModuleList(nn.Bilinear(width, width, 1) for _ in encoders[1:])
        for weight in self.judges.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
            else:
                nn.init.zeros_(weight)

    # ------------------------------------------------------------------- states

    def tokens(self) -> tuple[Tensor, Tensor]:
        """Return what sequences are made of, mixed and per domain, each [n_items, d]."""
        mixed, own = self.mixed_items.weight, self.own_items.weight
        return (
            (self.mixed_graph(mixed) + mixed) * self.scale,
            (self.own_graph(own) + own) * self.scale,
        )

    def own_states(self, tokens: Tensor, ids: Tensor, slots: Sequence[Tensor]) -> list[Tensor]:
        """Return h^k, K times [B, L, d], of the sequences of items in `slots` k, bool [B, L]."""
        vectors = F.embedding(ids, tokens)
        return [
            encoder(vectors, inside)
            for encoder, inside in zip(self.own_encoders, slots, strict=True)
        ]

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return h_T + h^k at the last item of each domain k, K times [B, d].

        Without any such item h^k is read from an empty slot, the same for all users [code].
        """
        ids, lengths = self.history(interaction)
        mixed_tokens, own_tokens = self.tokens()
        mixed = self.mixed_encoder(F.embedding(ids, mixed_tokens), ids > 0)
        mixed = self.gather_indexes(mixed, lengths - 1)
        slots = [self.item_domain[ids] == k for k in range(self.num_domains)]
        states = []
        for inside, own in zip(slots, self.own_states(own_tokens, ids, slots), strict=True):
            last = last_seen(inside)[:, -1].clamp(min=0)
            states.append(mixed + self.gather_indexes(own, last))
        return states

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the head's vectors [n_items, d] and biases [n_items]."""
        return self.head.weight, self.head.bias

    # ------------------------------------------------------------------- losses

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the loss of a batch of windows."""
        next_item, infomax = self.loss_terms(interaction)
        return self.next_item_weight * next_item + (1 - self.next_item_weight) * infomax

    def loss_terms(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Return sum_k (L_sk + L_k) and sum_k I_k."""
        ids, labels = interaction[ITEMS], interaction[LABELS]
        domains = self.item_domain[ids]
        own_labels = [self.next_in_domain(labels, k) for k in range(self.num_domains)]
        slots = [(domains == k) & (own > 0) for k, own in enumerate(own_labels)]
        mixed_tokens, own_tokens = self.tokens()
        rows = torch.cat([ids, *(self.replaced(ids, k) for k in range(self.num_domains))])
        mixed = self.mixed_encoder(F.embedding(rows, mixed_tokens), rows > 0)
        state, *corrupted = mixed.split(len(ids))
        own_states = self.own_states(own_tokens, ids, slots)
        infomax = state.new_zeros(())
        for k, judge in enumerate(self.judges):
            others = torch.stack([s for j, s in enumerate(slots) if j != k]).any(0)
            infomax = infomax + _infomax(
                judge, state, corrupted[k], others, own_states[k], slots[k]
            )
        recent = self._recent(ids)
        labelled = (labels > 0) & recent
        total = self._next_item(state[labelled], labels[labelled], state[labelled])
        at = [inside & recent for inside in slots]
        own = torch.cat([h[here] for h, here in zip(own_states, at, strict=True)])
        both = own + torch.cat([state[here] for here in at])
        targets = torch.cat([label[here] for label, here in zip(own_labels, at, strict=True)])
        total = total + self._next_item(both, targets, own)
        windows = over_shares(len(ids))
        return total / (windows * (self.loss_slots or ids.shape[1])), infomax

    def _recent(self, ids: Tensor) -> Tensor:
        """Return the slots that next-item losses are taken at, bool [B, L]."""
        real = ids > 0
        if self.loss_slots is None:
            return real
        from_end = real.flip(1).cumsum(1).flip(1)
        return real & (from_end <= self.loss_slots)

    def next_in_domain(self, labels: Tensor, domain: int) -> Tensor:
        """Return the first label of a domain from each slot on, int64 [B, L]; 0 if none."""
        length = labels.shape[1]
        position = torch.arange(length, device=labels.device)
        position = torch.where(self.item_domain[labels] == domain, position, length)
        nearest = position.flip(1).cummin(1).values.flip(1)
        return F.pad(labels, (0, 1)).gather(1, nearest)

    def replaced(self, ids: Tensor, domain: int) -> Tensor:
        """Return sequences with uniform random items in position of those of one domain."""
        members = self.members(domain)
        drawn = members[draw_rows(ids.shape, ids.device, below=len(members))]
        return torch.where(self.item_domain[ids] == domain, drawn, ids)

    def _next_item(self, states: Tensor, targets: Tensor, padding_states: Tensor) -> Tensor:
        """Return the summed next-item loss of states [M, d] with labels [M]."""
        if self.loss_type != PUBLISHED:
            return self.next_item_loss([states], targets, self._candidates)
        # one more candidate, scored by the padding head, as one more dimension
        extended = torch.cat([states, self.padding_head(padding_states)], dim=1)
        total = states.new_zeros(())
        for one in self.next_item.candidate_sets(targets, self.loss_scope):
            if len(one.labels):
                vectors, bias = self._candidates(one.candidates)
                items = F.pad(vectors, (0, 1, 0, 1))
                items[-1, -1] = 1.0
                some = extended[one.positions]
                total = total + losses.cross_entropy(some, items, F.pad(bias, (0, 1)), one.rows)
        return total

    def _candidates(self, ids: Tensor | None) -> tuple[Tensor, Tensor]:
        if ids is None:
            return self.head.weight, self.head.bias
        return self.head.weight[ids], self.head.bias[ids]


def _infomax(
    judge: nn.Module, state: Tensor, corrupted: Tensor, others: Tensor, own: Tensor, inside: Tensor
) -> Tensor:
    """Return the mean binary loss over the users that have both kinds of slots, 0 if none."""
    having = inside.any(1) & others.any(1)
    if not over_shares(having.sum()):
        return state.new_zeros(())
    own_mean = _mean_over(own, inside)[having]
    real = judge(_mean_over(state, others)[having], own_mean)
    fake = judge(_mean_over(corrupted, others)[having], own_mean)
    return mean(F.softplus(-real)) + mean(F.softplus(fake))


def _mean_over(states: Tensor, where: Tensor) -> Tensor:
    """Average [B, L, d] over the slots `where`, bool [B, L]; zero if there are none."""
    weights = where / where.sum(1, keepdim=True).clamp(min=1)
    return (states * weights.unsqueeze(2)).sum(1)
