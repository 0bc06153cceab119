"""The domain-shared model: one causal backbone over mixed sequences of items."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.backbone import Backbone, BackboneSettings
from recbole_edt.model.base import CrossDomainModel
from recbole_edt.model.batch_share import total
from recbole_edt.model.items import ItemEncoder, nearest_seen
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction


class SharedModel(CrossDomainModel):
    """Item encoder, backbone and positions over mixed sequences; item i scores <h_t, e_i> + b_i.

    Phase ``shared`` of `LLMEDT` is this model, and `SASRecLLM` is nothing else, so that comparing
    the two shows LLM-EDT's other parts.

    Parameters
    ----------
    config : EDTConfig
        Keys of the item encoder and of the backbone.
    dataset : CrossDomainDataset
        The training part; gives item vectors, domains and training counts.

    Raises
    ------
    UserError
        Sizes that do not fit together.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width = config["hidden_size"]
        vectors = None
        if config["item_projection"] != "none":
            vectors = torch.from_numpy(dataset.item_vectors())
        self.input_scale = _input_scale(config["input_scale"], vectors)
        counts = torch.from_numpy(dataset.item_counts())
        self.items = ItemEncoder(
            vectors,
            counts,
            width,
            config["item_projection"],
            config["item_id_embedding"],
            config["item_bias"],
            sparse_gradients=config["loss_type"] == "SS" and config["sparse_updates"],
            trainable=config["item_vectors"] == "trainable",
        )
        self._vectors_rate: float | None = config["item_vectors_learning_rate"]
        self._neighbours = neighbours = config["new_item_neighbours"]
        if neighbours and vectors is not None:
            groups = [self.members(k) for k in range(self.num_domains)]
            seen = torch.from_numpy(dataset.seen_items())
            self.items.set_neighbours(*nearest_seen(vectors, seen, groups, neighbours))
        self.backbone = Backbone(BackboneSettings.from_config(config))
        self.positions = nn.Parameter(torch.empty(self.max_length, width))
        nn.init.normal_(self.positions, std=config["initializer_range"])

    def add_items(self, vectors: Tensor, domains: Tensor, seen: Tensor) -> None:
        """Append items, which are scored as those without interactions; see `TakesNewItems`."""
        if self.items.projection is None:
            raise UserError(
                "item_projection: found none, with which items are known by number; expected pca "
                "or mlp to score new items"
            )
        first = self.n_items
        self.items.append(vectors)
        self.append_items(domains)
        if not self._neighbours:
            return
        table, device = self.items.half_vectors.float(), self.item_domain.device
        known = torch.zeros(self.n_items, dtype=torch.bool, device=device)
        known[:first] = seen.to(device)
        is_new = torch.arange(self.n_items, device=device) >= first
        groups = [
            members[(known | is_new)[members]]
            for members in map(self.members, range(self.num_domains))
        ]
        unseen, near = nearest_seen(table, known, groups, self._neighbours)
        before = self.items.unseen, self.items.neighbours
        if len(before[0]):
            unseen, near = torch.cat([before[0], unseen]), torch.cat([before[1], near])
        self.items.set_neighbours(unseen, near)

    def sparse_parameters(self) -> list[nn.Parameter]:
        """Return the tables of items if steps change single rows of them, otherwise nothing."""
        return self.items.tables() if self.items.sparse_gradients else []

    def own_learning_rates(self) -> list[tuple[nn.Parameter, float]]:
        """Return the item vectors with their own learning rate, where they have one."""
        vectors = self.items.vectors
        if vectors is None or self._vectors_rate is None or not vectors.requires_grad:
            return []
        return [(vectors, self._vectors_rate)]

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the mean loss over all labelled positions of a batch of windows."""
        return self.loss_and_states(interaction)[0]

    def loss_and_states(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Return the mean loss over all labels of a batch, and the states, [B, L, d]."""
        inputs, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        sets = self.next_item.candidate_sets(labels[labelled], self.loss_scope)
        items = self.next_item.project(self.items, sets, inputs)
        states = self.shared_state(items.vectors[items.index_of(inputs)])
        loss = self.next_item([states[labelled]], sets, items)
        return loss / total(labelled.sum()).clamp(min=1), states

    def shared_state(self, items: Tensor) -> Tensor:
        """Encode the item vectors of mixed sequences, [B, L, d] to [B, L, d]."""
        return self.backbone(items * self.input_scale, self.positions)

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return the last state for each domain, K times the same [B, d]."""
        ids, lengths = self.history(interaction)
        state = self.shared_state(self.whole_table()[0][ids])
        return [self.gather_indexes(state, lengths - 1)] * self.num_domains

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of all items [n_items, d] and their biases [n_items] or None."""
        return self.items.for_scoring()


def _input_scale(value: Any, vectors: Tensor | None) -> float:
    """Return the factor on item vectors; the release uses the root of their size m [code]."""
    if value == "sqrt_vector_size":
        if vectors is None:
            raise UserError("input_scale: sqrt_vector_size needs item_projection: pca or mlp")
        return math.sqrt(vectors.shape[1])
    return float(value)
