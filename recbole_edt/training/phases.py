"""What a training phase is made of, read from the configuration."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_FIRST_RATE = 1e-5  # share of the learning rate that a warm-up starts with, as ABXI's does [code]


@dataclass(frozen=True)
class PhaseSettings:
    """Settings of one phase: its own key (``NAME_epochs``) where set, the general one otherwise.

    Attributes are the configuration keys of the same names.
    """

    name: str
    learning_rate: float
    weight_decay: float
    epochs: int
    min_epochs: int
    stopping_step: int
    clip_grad_norm: dict[str, Any] | None
    lr_scheduler: str
    lr_patience: int
    lr_factor: float
    warmup_epochs: int
    average_epochs: float

    @classmethod
    def from_config(cls, name: str, config: Any) -> "PhaseSettings":
        """Read the settings of the phase called `name`."""
        values = {}
        for key in cls.__dataclass_fields__:
            own = config[f"{name}_{key}"]
            values[key] = config[key] if own is None else own
        values |= {"name": name, "lr_scheduler": values["lr_scheduler"] or "none"}
        return cls(**values)

    def rate(self, epoch: int) -> float | None:
        """Return the learning rate that an epoch (from 1) starts with, None to leave it as it is.

        It grows linearly over ``warmup_epochs`` epochs, from next to nothing on.
        """
        if not self.warmup_epochs or epoch > self.warmup_epochs + 1:
            return None
        share = (epoch - 1) / self.warmup_epochs
        return self.learning_rate * (_FIRST_RATE + (1 - _FIRST_RATE) * share)


@dataclass
class Choice:
    """Parameters whose best epoch is chosen together, on one validation metric.

    Attributes
    ----------
    metric : str
        Validation metric that decides, such as ``ndcg@10`` or ``ndcg@10/food``.
    prefix : str
        Which entries of the model's state these are; empty for all.
    keep_on_tie : bool
        Whether an equal score keeps the earlier epoch (RecBole takes the later one).
    """

    metric: str
    prefix: str = ""
    keep_on_tie: bool = False
    score: float = -float("inf")
    epoch: int = 0
    stale: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, score: float, epoch: int, model: torch.nn.Module, bigger: bool = True) -> None:
        """Remember the model's present state if its score is the best so far."""
        gain = score if bigger else -score
        if self.state and (gain < self.score or (self.keep_on_tie and gain == self.score)):
            self.stale += 1
            return
        self.score, self.epoch, self.stale = gain, epoch, 0
        self.state = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in model.state_dict().items()
            if name.startswith(self.prefix)
        }
