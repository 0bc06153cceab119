"""What is done after each validated epoch and each phase: checkpoints, curves, logs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from recbole_edt.files import write_table
from recbole_edt.training import checkpoint
from recbole_edt.training.phase import History, PhaseState


class Callback:
    """Base of callbacks; every hook does nothing."""

    def on_validation(self, phase: PhaseState, history: History) -> None:
        """Handle a validated epoch, the last row of ``history.curves``."""

    def on_phase_end(self, phase: PhaseState, history: History) -> None:
        """Handle a finished phase, the last entry of ``history.phases``."""

    def on_end(self) -> None:
        """Handle the end of training."""


class LogLines(Callback):
    """One line of the log per validated epoch and per phase.

    Parameters
    ----------
    logger : logging.Logger
        Gets the lines.
    metric : str
        Validation metric that they show, overall and per domain.
    is_final : bool
        Whether they are of the final fit, which validates nothing.
    """

    def __init__(self, logger: logging.Logger, metric: str, is_final: bool = False):
        self._logger, self._metric = logger, metric
        self._prefix = "final fit: " * is_final

    def on_validation(self, phase: PhaseState, history: History) -> None:
        """Log loss, score and seconds."""
        row, metric = history.curves[-1], self._metric
        domains = ", ".join(
            f"{name.removeprefix(f'{metric}/')} {score:.4f}"
            for name, score in row.items()
            if name.startswith(f"{metric}/")
        )
        loss = f"loss {row['loss']:8.4f}" if row["epoch"] else "no change yet"
        valid = f"valid {metric} {row[metric]:.4f} ({domains})  " if metric in row else ""
        self._logger.info(
            f"{self._prefix}{row['phase']} epoch {row['epoch']:3d}  {loss:13}  {valid}"
            f"{row['seconds']:.1f} s"
        )

    def on_phase_end(self, phase: PhaseState, history: History) -> None:
        """Log the best epochs."""
        record = history.phases[-1]
        best = record["best_epoch"]
        if isinstance(best, dict):
            best = ", ".join(f"{domain} {epoch}" for domain, epoch in best.items())
        self._logger.info(
            f"{self._prefix}{record['name']} phase: {record['epochs']} epochs, best {best}"
        )


class TensorBoardScalars(Callback):
    """Loss and validation metrics for TensorBoard, on one step axis over all phases."""

    def __init__(self, folder: Path):
        self._writer = SummaryWriter(folder)

    def on_validation(self, phase: PhaseState, history: History) -> None:
        """Write loss and metrics."""
        step = len(history.curves)
        self._writer.add_scalar("loss/train", history.curves[-1]["loss"], step)
        for metric, value in validation_metrics(history).items():
            self._writer.add_scalar(f"valid/{metric}", value, step)

    def on_end(self) -> None:
        """Write what is still buffered."""
        self._writer.close()


class WandbMetrics(Callback):
    """Loss and validation metrics for RecBole's logger of Weights & Biases.

    Parameters
    ----------
    logger : recbole WandbLogger
        The logger.
    is_final : bool
        Whether they are of the final fit, which has a step axis of its own and validates nothing.
    """

    def __init__(self, logger: Any, is_final: bool = False):
        self._logger, self._is_final = logger, is_final

    def on_validation(self, phase: PhaseState, history: History) -> None:
        """Log loss and metrics."""
        step, head = len(history.curves), "final" if self._is_final else "train"
        loss = {"loss": history.curves[-1]["loss"], f"{head}_step": step}
        self._logger.log_metrics(loss, head=head)
        if self._is_final:
            return
        self._logger.log_metrics({**validation_metrics(history), "valid_step": step}, head="valid")


class Checkpoints(Callback):
    """Checkpoint of everything that a killed run needs to continue after the latest epoch.

    Parameters
    ----------
    folder : pathlib.Path
        The run's; ``curves.csv`` is written there too, after ``checkpoint/``.
    model : RecBole model
        The model.
    generator : torch.Generator or None
        The training loader's.
    hashes : mapping
        What identifies split and items; another run's checkpoint is refused by it.
    is_final : bool
        Whether they are of the final fit, which the checkpoint then records.
    """

    def __init__(
        self,
        folder: Path,
        model: Any,
        generator: torch.Generator | None,
        hashes: Mapping[str, str],
        is_final: bool = False,
    ):
        self._folder, self._model, self._generator = folder, model, generator
        self._head = {**hashes, "fit": "final"} if is_final else {**hashes}

    def on_validation(self, phase: PhaseState, history: History) -> None:
        """Save."""
        tensors, values = phase.state_dict()
        rng, rng_values = checkpoint.pack_rng(self._generator)
        tensors |= checkpoint.pack_model(self._model) | checkpoint.with_prefix("rng/", rng)
        values |= {"rng": rng_values, "phases": history.phases, "curves": history.curves}
        name = f"{phase.name}-{phase.epoch}{'-end' * phase.done}"
        checkpoint.save_state(self._folder / "checkpoint", name, tensors, {**self._head, **values})
        write_table(self._folder / "curves.csv", history.curves)

    def on_phase_end(self, phase: PhaseState, history: History) -> None:
        """Save."""
        self.on_validation(phase, history)


def validation_metrics(history: History) -> dict[str, float]:
    """Return the metrics of the last validated epoch."""
    return {
        name: value
        for name, value in history.curves[-1].items()
        if name not in ("phase", "epoch", "loss", "seconds")
    }
