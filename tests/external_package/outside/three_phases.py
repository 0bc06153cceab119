"""Items first, then their context, then an offset per domain: three phases."""

import torch
from torch import nn

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.base import CrossDomainModel


class ThreePhases(CrossDomainModel):
    """Domain k's items score <h + context h + offset_k, e_i>, h being the mean vector so far."""

    phases = ("items", "context", "offsets")

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        width = config["hidden_size"]
        self.items = nn.Embedding(self.n_items, width)
        self.context = nn.Linear(width, width)
        self.offsets = nn.ModuleList(Offset(width) for _ in range(self.num_domains))
        self.set_phase("items")

    def begin_phase(self, phase):
        self.set_phase(phase)

    def set_phase(self, phase):
        self.phase = phase
        for name in self.phases:
            getattr(self, name).requires_grad_(name == phase)
        self.train(self.training)

    def keeps_phase(self, phase):
        return True

    def may_stay_unchanged(self, phase):
        return phase == "offsets"

    def separate_parts(self, phase):
        if phase != "offsets":
            return None
        return [f"offsets.{k}." for k in range(self.num_domains)]

    def states(self, items):
        count = torch.arange(1, items.shape[1] + 1).unsqueeze(1)
        h = self.items(items).cumsum(1) / count
        if self.phase != "items":
            h = h + self.context(h)
        if self.phase != "offsets":
            return [h] * self.num_domains
        return [h + offset.vector for offset in self.offsets]

    def calculate_loss(self, interaction):
        items, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        states = [state[labelled] for state in self.states(items)]
        loss = self.next_item_loss(states, labels[labelled], self.vectors)
        return loss / labelled.sum().clamp(min=1)

    def vectors(self, ids):
        return (self.items.weight if ids is None else self.items(ids)), None

    def last_states(self, interaction):
        items, lengths = self.history(interaction)
        return [self.gather_indexes(state, lengths - 1) for state in self.states(items)]

    def score_table(self):
        return self.items.weight, None


class Offset(nn.Module):
    """A vector that is added to the states which score one domain's items."""

    def __init__(self, width):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))
