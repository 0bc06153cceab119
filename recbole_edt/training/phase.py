"""A training phase in progress, and the record of those before it.

Its settings, optimizer, schedule, averaging and best epochs.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from recbole_edt.config.schema import value_in_phase
from recbole_edt.training import checkpoint
from recbole_edt.training.averaging import WeightAverage

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
        for key in fields(cls):
            value = value_in_phase(config, name, key.name)
            values[key.name] = _WITHOUT_KEY.get(key.name) if value is None else value
        return cls(**{**values, "name": name})

    def rate(self, epoch: int) -> float | None:
        """Return the learning rate that an epoch (from 1) starts with, None to leave it as it is.

        It grows linearly over ``warmup_epochs`` epochs, from next to nothing on.
        """
        if not self.warmup_epochs or epoch > self.warmup_epochs + 1:
            return None
        share = (epoch - 1) / self.warmup_epochs
        return self.learning_rate * (_FIRST_RATE + (1 - _FIRST_RATE) * share)


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


@dataclass
class History:
    """What training has done so far.

    Attributes
    ----------
    phases : list of dict
        Per finished phase: name, epochs, best_epoch (per domain where domains are separate),
        seconds; as in ``metrics.json``.
    curves : list of dict
        Per validated epoch: phase, epoch, loss per batch, seconds and all validation metrics.
    """

    phases: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)


class PhaseState:
    """One phase in progress.

    Parameters
    ----------
    settings : PhaseSettings
        Its settings.
    model : torch.nn.Module
        The model that is trained.
    optimizer : torch.optim.Optimizer
        Of the parameters that the phase trains.
    steps : int
        Steps of an epoch.
    best : sequence of BestEpoch
        One for the whole model, or one per domain.

    Attributes
    ----------
    epoch : int
        Epochs done.
    seconds : float
        Training time so far, without validation.
    done : bool
        Whether the phase has ended and the model has its best weights.
    """

    def __init__(
        self,
        settings: PhaseSettings,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        steps: int,
        best: Sequence[BestEpoch],
    ):
        self.settings, self.optimizer, self.best = settings, optimizer, list(best)
        self.epoch, self.seconds, self.done = 0, 0.0, False
        # A parameter group with a rate of its own keeps its ratio to the phase's rate.
        self._ratios = [group["lr"] / settings.learning_rate for group in optimizer.param_groups]
        self._average: WeightAverage | None = None
        if settings.average_epochs:
            self._average = WeightAverage(model, optimizer, steps * settings.average_epochs)
        self._scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        if settings.lr_scheduler == "plateau":
            self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=settings.lr_factor, patience=settings.lr_patience
            )

    @property
    def name(self) -> str:
        """The phase's name."""
        return self.settings.name

    def has_ended(self) -> bool:
        """Return whether no further epoch is to be trained: all done, or every best one is old."""
        if self.done or self.epoch >= self.settings.epochs:
            return True
        if self.epoch < self.settings.min_epochs:
            return False
        return all(best.stale > self.settings.stopping_step for best in self.best)

    def begin_epoch(self) -> None:
        """Count one more epoch and set its learning rate."""
        self.epoch += 1
        rate = self.settings.rate(self.epoch)
        if rate is not None:
            for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=False):
                group["lr"] = rate * ratio

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Give the model its averaged weights, if any are kept, for the time of a block."""
        return self._average.in_place() if self._average else nullcontext()

    def adjust_rate(self, score: float) -> None:
        """Report the validation score to the schedule, which begins after the warm-up."""
        if self._scheduler is not None and self.epoch > self.settings.warmup_epochs:
            self._scheduler.step(score)

    def best_weights(self) -> dict[str, Tensor]:
        """Return the weights of the best epochs by parameter name."""
        return {name: weight for best in self.best for name, weight in best.weights.items()}

    def record(self) -> dict[str, Any]:
        """Return the phase's entry in ``metrics.json``; best epochs by domain where separate."""
        epochs = {best.scope: best.epoch for best in self.best}
        return {
            "name": self.name,
            "epochs": self.epoch,
            "best_epoch": epochs.get("all", epochs),
            "seconds": round(self.seconds, 6),
        }

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors, and everything else as plain values."""
        optimizer, groups = checkpoint.pack_optimizer(self.optimizer)
        tensors = checkpoint.with_prefix("optimizer/", optimizer)
        if self._average:
            tensors |= checkpoint.with_prefix("average/", self._average.state_dict())
        for number, best in enumerate(self.best):
            tensors |= checkpoint.with_prefix(f"best{number}/", best.weights)
        schedule = self._scheduler.state_dict() if self._scheduler else {}
        return tensors, {
            "phase": self.name,
            "epoch": self.epoch,
            "phase_done": self.done,
            "seconds": self.seconds,
            "choices": [best.state_dict() for best in self.best],
            "param_groups": groups,
            # no infinities in JSON; a new schedule starts with them anyway
            "scheduler": {
                key: value
                for key, value in schedule.items()
                if not isinstance(value, float) or math.isfinite(value)
            },
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.epoch, self.done = values["epoch"], values["phase_done"]
        self.seconds = values["seconds"]
        for number, (best, state) in enumerate(zip(self.best, values["choices"], strict=True)):
            best.load_state_dict(state, checkpoint.without_prefix(f"best{number}/", tensors))
        optimizer = checkpoint.without_prefix("optimizer/", tensors)
        checkpoint.unpack_optimizer(self.optimizer, optimizer, values["param_groups"])
        if self._average:
            self._average.load_state_dict(checkpoint.without_prefix("average/", tensors))
        if self._scheduler is not None:
            self._scheduler.load_state_dict(values["scheduler"])
