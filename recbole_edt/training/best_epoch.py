"""The best epoch of a model, or of the part of it that serves one domain."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class BestEpoch:
    """Best weights so far of the parameters that are selected together on one metric.

    Attributes
    ----------
    metric : str
        Validation metric that decides, such as ``ndcg@10`` or ``ndcg@10/food``.
    prefix : str
        Which entries of the model's state these are; empty for all.
    keep_on_tie : bool
        Whether an equal score keeps the earlier epoch (RecBole takes the later one).
    score : float
        Best score, larger is better; minus infinity before the first.
    epoch, stale : int
        Best epoch, and how many validations ago it was.
    weights : dict of torch.Tensor
        Its weights on the CPU.
    """

    metric: str
    prefix: str = ""
    keep_on_tie: bool = False
    score: float = -math.inf
    epoch: int = 0
    stale: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """The metric's domain, ``all`` without one."""
        return self.metric.partition("/")[2] or "all"

    def update(self, score: float, epoch: int, model: torch.nn.Module, bigger: bool = True) -> None:
        """Keep the model's present weights if its score is the best so far."""
        gain = score if bigger else -score
        if self.weights and (gain < self.score or (self.keep_on_tie and gain == self.score)):
            self.stale += 1
            return
        self.score = gain
        self.keep(epoch, model)

    def keep(self, epoch: int, model: torch.nn.Module) -> None:
        """Keep the model's present weights as those of the best epoch."""
        self.epoch, self.stale = epoch, 0
        self.weights = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in model.state_dict().items()
            if name.startswith(self.prefix)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return score (None before the first), epoch and staleness; weights are kept apart."""
        score = self.score if math.isfinite(self.score) else None
        return {"score": score, "epoch": self.epoch, "stale": self.stale}

    def load_state_dict(self, state: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        """Continue from what `state_dict` and `weights` were."""
        self.score = -math.inf if state["score"] is None else state["score"]
        self.epoch, self.stale, self.weights = state["epoch"], state["stale"], weights
