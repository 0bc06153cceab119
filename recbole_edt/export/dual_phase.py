"""LLMEDT, its shared phase alone, and one SASRec per domain as graphs."""

from typing import cast

from torch import Tensor, nn

from recbole_edt.export.numbering import Numbering
from recbole_edt.export.scorers import StateScorer
from recbole_edt.export.sequences import state_at
from recbole_edt.model.baselines.sasrec import SASRecSingle, Tower
from recbole_edt.model.domain_thread import DomainThread
from recbole_edt.model.llmedt import LLMEDT
from recbole_edt.model.shared import SharedModel


class SharedScorer(StateScorer):
    """`SharedModel`: the state of the mixed sequence scores all domains."""

    def __init__(self, model: SharedModel, numbering: Numbering):
        super().__init__(model, numbering)
        self.scale = model.input_scale
        self.backbone, self.positions = model.backbone, model.positions

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return h_T, one [B, d]."""
        return [state_at(self.backbone(self._inputs(items), self.positions), lengths)]

    def _inputs(self, items: Tensor) -> Tensor:
        return self.vectors[items] * self.scale


class ThreadScorer(SharedScorer):
    """`LLMEDT` in its domain phase: h_T + h'^k_T scores domain k."""

    def __init__(self, model: LLMEDT, numbering: Numbering):
        super().__init__(model, numbering)
        self.threads = nn.ModuleList(model.threads[k] for k in numbering.slices)

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return h_T + h'^k_T, [B, d] for each domain."""
        (shared,) = super().states(items, lengths)
        states = []
        for k, thread in zip(self.numbering.slices, self.threads, strict=True):
            thread = cast(DomainThread, thread)
            own, count = self._own(items, k)
            hidden = state_at(self.backbone(self._inputs(own), thread.positions), count)
            states.append(shared + thread.adapt(hidden) * (count > 0).unsqueeze(1))
        return states


class TowersScorer(StateScorer):
    """`SASRecSingle`: the tower of domain k reads its own items only."""

    def __init__(self, model: SASRecSingle, numbering: Numbering):
        super().__init__(model, numbering)
        towers = [cast(Tower, model.towers[k]) for k in numbering.slices]
        self.backbones = nn.ModuleList(tower.backbone for tower in towers)
        self.positions = nn.ParameterList(tower.positions for tower in towers)

    def states(self, items: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return each tower's last state, [B, d]; zero without an item of the domain."""
        states = []
        parts = zip(self.numbering.slices, self.backbones, self.positions, strict=True)
        for k, backbone, positions in parts:
            own, count = self._own(items, k)
            state = state_at(backbone(self.vectors[own], positions), count)
            states.append(state * (count > 0).unsqueeze(1))
        return states
