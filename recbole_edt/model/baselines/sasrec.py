"""SASRec over several domains: one over all with LLM vectors, or one per domain."""

from typing import cast

import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.backbone import Backbone, BackboneSettings
from recbole_edt.model.base import CrossDomainModel
from recbole_edt.model.batch_share import total
from recbole_edt.model.candidate_sets import ItemVectors
from recbole_edt.model.domain_rows import DomainRows
from recbole_edt.model.items import ItemEncoder
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.model.shared import SharedModel
from recbole_edt.recbole_bridge import Interaction


class SASRecLLM(SharedModel):
    """Merged SASRec with the same LLM item vectors as LLM-EDT: its shared phase only.

    After Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv
    1808.09781, with the item encoder, backbone and losses of `LLMEDT`, so that what a comparison
    of the two shows is LLM-EDT's other parts. ``item_projection: none`` is the SASRec of item ids
    only, under the same losses.

    Parameters
    ----------
    config : EDTConfig
        Keys of ``properties/model/SASRecLLM.yaml``.
    dataset : CrossDomainDataset
        The training part.
    """


class SASRecSingle(CrossDomainModel):
    """One SASRec per domain, each on that domain's items only; nothing is shared.

    The towers are trained in one run, one loss added to the next, and each keeps the best epoch
    of its own domain. A user without an item in a domain is scored by the items' biases there.

    Parameters
    ----------
    config : EDTConfig
        Keys of ``properties/model/SASRecSingle.yaml``.
    dataset : CrossDomainDataset
        The training part.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.width: int = config["hidden_size"]
        counts = torch.from_numpy(dataset.item_counts())
        self.towers = nn.ModuleList(
            Tower(config, torch.cat([counts[:1] * 0, counts[self.members(k)]]))
            for k in range(self.num_domains)
        )

    def separate_parts(self, phase: str) -> list[str]:
        """Return the towers: they do not touch each other's domain."""
        return [f"towers.{k}." for k in range(self.num_domains)]

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the sum over domains of the mean loss over the domain's labels."""
        inputs, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        sets = self.next_item.candidate_sets(labels[labelled], "target_domain")
        items = ItemVectors(*self.score_table())
        loss = items.vectors.new_zeros(())
        for k, one in enumerate(sets):
            state = self.tower_states(k, inputs)[labelled]
            loss = loss + self.next_item([state], [one], items) / max(total(len(one.labels)), 1)
        return loss

    def tower_states(self, domain: int, items: Tensor) -> Tensor:
        """Return a tower's state after its domain's last item up to each position, [B, L, d]."""
        rows = DomainRows(self.item_domain[items] == domain)
        if rows.length == 0:
            return torch.zeros(*items.shape, self.width, device=items.device)
        own = rows.pack(self.row_in_domain[items] + 1)
        return rows.unpack(self.towers[domain](own))

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return each tower's last state, K times [B, d]."""
        items, lengths = self.history(interaction)
        states = [self.tower_states(k, items) for k in range(self.num_domains)]
        return [self.gather_indexes(state, lengths - 1) for state in states]

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of all items [n_items, d] and their biases [n_items] or None."""
        vectors = torch.zeros(self.n_items, self.width, device=self.item_domain.device)
        bias = vectors.new_zeros(self.n_items)
        for k, tower in enumerate(self.towers):
            own, own_bias = cast(Tower, tower).items()
            vectors = vectors.index_copy(0, self.members(k), own[1:])
            if own_bias is not None:
                bias = bias.index_copy(0, self.members(k), own_bias[1:])
        return vectors, bias


class Tower(nn.Module):
    """Items, positions and backbone of one domain.

    Parameters
    ----------
    config : EDTConfig
        Sizes.
    counts : torch.Tensor
        Training interactions of the domain's items, after a row for padding, [n_k + 1].
    """

    def __init__(self, config: KeyedConfig, counts: Tensor):
        super().__init__()
        width = config["hidden_size"]
        self.items = ItemEncoder(None, counts, width, "none", True, config["item_bias"])
        self.backbone = Backbone(BackboneSettings.from_config(config))
        self.positions = nn.Parameter(torch.empty(config["MAX_ITEM_LIST_LENGTH"], width))
        nn.init.normal_(self.positions, std=config["initializer_range"])

    def forward(self, rows: Tensor) -> Tensor:
        """Encode sequences of the domain's items, int64 [B, L] to [B, L, d]."""
        return self.backbone(self.items(rows.flatten())[0].view(*rows.shape, -1), self.positions)
