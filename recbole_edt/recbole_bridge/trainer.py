"""RecBole's trainer behind public methods: its epochs, optimizer and loggers, nothing else."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

import torch
from torch import nn, optim

from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge import Trainer
from recbole_edt.recbole_bridge.config import recbole_metrics
from recbole_edt.recbole_bridge.failures import named_failures
from recbole_edt.recbole_bridge.stock import stock_trainer

_Trained = TypeVar("_Trained", bound="EpochTrainer")


class EpochTrainer(Trainer):
    """Base of a trainer that keeps RecBole's epochs and replaces everything around them.

    Parameters
    ----------
    config : EDTConfig
        Complete configuration.
    model : RecBole model
        The model to train.

    Raises
    ------
    UserError
        When ``log_wandb`` is set and wandb is not installed.
    """

    def __init__(self, config: Any, model: Any):
        # RecBole's evaluator, which is never asked, knows its own metrics only.
        metrics = recbole_metrics(config["metrics"])
        known = copy(config)
        known.final_config_dict = {**config.final_config_dict, "metrics": metrics}
        try:
            super().__init__(known, model)
            self.config = config
        except ImportError as error:  # RecBole's logger of Weights & Biases
            if not config["log_wandb"]:
                raise
            raise UserError("log_wandb: wandb is not installed; pip install wandb") from error

    def train_epoch(self, train_data: Any, epoch: int, show_progress: bool = False) -> float:
        """Train on all batches once; return the loss summed over batches.

        Parameters
        ----------
        train_data : data loader
            Batches in RecBole's form.
        epoch : int
            Counts from 1.
        show_progress : bool
            Whether a progress bar is shown.

        Raises
        ------
        UserError
            When the loss is not a number, or RecBole's code fails.
        """
        with named_failures("trained", self.config):
            try:
                with self._mixed_precision():
                    loss = self._train_epoch(train_data, epoch - 1, show_progress=show_progress)
            except ValueError as error:
                if "loss is nan" not in str(error):
                    raise
                raise UserError(
                    f"model: the loss is not a number in epoch {epoch}; training has diverged"
                ) from None
        return sum(loss) if isinstance(loss, tuple) else loss

    @contextmanager
    def _mixed_precision(self) -> Iterator[None]:
        """Let RecBole's autocast around each loss be on, in bfloat16, where ``precision`` says so.

        RecBole names no type, so that torch's default of the device counts: float16 on a GPU.
        """
        if self.config["precision"] != "bf16":
            yield
            return
        kind, before = self.device.type, bool(self.config["enable_amp"])
        default = torch.get_autocast_dtype(kind)
        torch.set_autocast_dtype(kind, torch.bfloat16)
        self.enable_amp = True  # RecBole's copy of the key
        try:
            yield
        finally:
            self.enable_amp = before
            torch.set_autocast_dtype(kind, default)

    def build_optimizer(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> optim.Optimizer:
        """Return an optimizer of the kind that the key ``learner`` names."""
        return self._build_optimizer(
            params=parameters, learning_rate=learning_rate, weight_decay=weight_decay
        )

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        """Do nothing: RecBole would write a pickle here."""


def with_stock_trainer(trainer_class: type[_Trained], model_type: Any, name: str) -> type[_Trained]:
    """Return a trainer class on top of the special trainer that RecBole has for a model.

    Parameters
    ----------
    trainer_class : type
        Returned as it is when RecBole has no special trainer.
    model_type, name : ModelType, str
        RecBole's family of the model, and its name.

    Raises
    ------
    UserError
        For a model whose RecBole trainer brings its own training loop.
    """
    stock = stock_trainer(model_type, name)
    if stock is Trainer:
        return trainer_class
    if not issubclass(stock, Trainer) or stock.fit is not Trainer.fit:
        raise UserError(f"model: {name} brings its own training loop, which is not supported yet")
    return type(f"Phased{stock.__name__}", (trainer_class, stock), {})
