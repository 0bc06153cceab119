"""Settings of a training phase, read from the configuration."""

from dataclasses import dataclass, fields
from typing import Any

from recbole_edt.config.schema import value_in_phase

_FIRST_RATE = 1e-5  # share of the learning rate that a warm-up starts with, as ABXI's does [code]
# RecBole's own models have no such keys.
_WITHOUT_KEY = {"lr_scheduler": "none", "lr_patience": 0, "lr_factor": 1.0, "warmup_epochs": 0}


@dataclass(frozen=True)
class PhaseSettings:
    """Settings of one phase: the phase's key (``NAME_epochs``) where set, else the general one.

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
    target_smoothing: float
    target_smoothing_temperature: float
    target_smoothing_neighbours: int

    @classmethod
    def from_config(cls, name: str, config: Any) -> "PhaseSettings":
        """Read the settings of the phase called `name`, whatever the name is."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = value_in_phase(config, name, field.name)
            values[field.name] = _WITHOUT_KEY.get(field.name) if value is None else value
        return cls(**{**values, "name": name})

    def rate(self, epoch: int) -> float | None:
        """Return the learning rate that an epoch (from 1) starts with, None to leave it as it is.

        It grows linearly over ``warmup_epochs`` epochs, from next to nothing on.
        """
        if not self.warmup_epochs or epoch > self.warmup_epochs + 1:
            return None
        share = (epoch - 1) / self.warmup_epochs
        return self.learning_rate * (_FIRST_RATE + (1 - _FIRST_RATE) * share)
