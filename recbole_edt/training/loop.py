"""The loop over the epochs of one phase: train, validate, keep the best, stop early.

Also the one of the final fit: once more, on training and validation rows, for chosen epochs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from recbole_edt import distributed
from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.recbole_bridge.model_state import load_weights
from recbole_edt.recbole_bridge.trainer import EpochTrainer
from recbole_edt.training import checkpoint
from recbole_edt.training.callbacks import Callback
from recbole_edt.training.distributed import PhaseInShares
from recbole_edt.training.optimizers import phase_optimizer
from recbole_edt.training.phase import BestEpoch, History, PhaseSettings, PhaseState


class PhaseLoop:
    """Trains one phase after another with a trainer's epochs and evaluation.

    Parameters
    ----------
    trainer : EpochTrainer
        Trains epochs, evaluates, and holds model and configuration.
    train_data : data loader
        Training batches.
    valid_data : Targets or None
        What epochs are selected on; None for a subclass that selects otherwise.
    history : History
        Gets every validated epoch and every finished phase.
    callbacks : sequence of Callback
        Called after each of them, in order.
    show_progress : bool
        Whether epochs show a progress bar.
    """

    def __init__(
        self,
        trainer: EpochTrainer,
        train_data: Any,
        valid_data: Targets | None,
        history: History,
        callbacks: Sequence[Callback],
        show_progress: bool,
    ):
        self._trainer, self._model, self._config = trainer, trainer.model, trainer.config
        self._capabilities = capabilities_of(trainer.model)
        self._train_data, self._valid_data = train_data, valid_data
        self._history, self._callbacks = history, callbacks
        self._show_progress = show_progress

    def run(
        self,
        name: str,
        saved: checkpoint.SavedState | None = None,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> None:
        """Train a phase, or continue it from a checkpoint; leave the model with its best weights.

        Parameters
        ----------
        name : str
            The phase.
        saved : SavedState, optional
            A checkpoint of the phase.
        callback_fn : callable, optional
            Called with epoch and overall validation score after each validated epoch.
        """
        phase = self._begin(name)
        if saved:
            self._restore(phase, saved)
        elif self._capabilities.may_stay_unchanged(name):
            self._end_epoch(phase, 0.0, 0.0)
        shares = None
        if distributed.size() > 1:
            shares = PhaseInShares(self._model, self._config["seed"])
        while not phase.has_ended():
            phase.begin_epoch()
            begun = time.perf_counter()
            with shares.of_epoch(phase.epoch) if shares else nullcontext():
                loss = self._trainer.train_epoch(self._train_data, phase.epoch, self._show_progress)
            seconds = time.perf_counter() - begun
            phase.seconds += seconds
            phase.optimizer = self._trainer.optimizer  # RecVAE's trainer has two, in turn
            if phase.epoch % self._config["eval_step"] and phase.epoch < phase.settings.epochs:
                continue
            score = self._end_epoch(phase, loss / len(self._train_data), seconds)
            if callback_fn and score is not None:
                callback_fn(phase.epoch, score)
        load_weights(self._model, self._model.state_dict() | phase.best_weights())
        if not phase.done:  # else resumed after its end
            phase.done = True
            self._history.phases.append(phase.record())
            for callback in self._callbacks:
                callback.on_phase_end(phase, self._history)

    def _begin(self, name: str) -> PhaseState:
        """Enter a phase with a new optimizer."""
        trainer = self._trainer
        self._capabilities.begin_phase(name)
        settings = self._settings(name)
        trainer.optimizer = phase_optimizer(trainer, self._capabilities, settings)
        steps = len(self._train_data)
        return PhaseState(settings, self._model, trainer.optimizer, steps, self._best_epochs(name))

    def _settings(self, name: str) -> PhaseSettings:
        settings, epochs = PhaseSettings.from_config(name, self._config), self._trainer.epochs
        if epochs != self._config["epochs"]:  # RecBole's models that only count have one
            settings = replace(settings, epochs=epochs)
        return settings

    def _best_epochs(self, name: str) -> list[BestEpoch]:
        """Return one best epoch per domain where domains are separate, otherwise one for all."""
        metric = self._trainer.valid_metric
        # of equal scores, the one nearer to "no change"
        on_tie = self._capabilities.may_stay_unchanged(name)
        parts = self._capabilities.separate_parts(name)
        if not parts or self._config["candidates"] != "target_domain":
            return [BestEpoch(metric, keep_on_tie=on_tie)]
        return [
            BestEpoch(f"{metric}/{domain}", prefix, on_tie)
            for domain, prefix in zip(self._train_data.dataset.domains, parts, strict=True)
        ]

    def _end_epoch(self, phase: PhaseState, loss: float, seconds: float) -> float | None:
        """Select the weights to keep and record the epoch; return its validation score, if any."""
        with phase.averaged_weights():
            score, result = self._select(phase)
        if score is not None:
            phase.adjust_rate(score)
        row = {"phase": phase.name, "epoch": phase.epoch, "loss": loss}
        self._history.curves.append({**row, "seconds": round(seconds, 6), **result})
        for callback in self._callbacks:
            callback.on_validation(phase, self._history)
        return score

    def _select(self, phase: PhaseState) -> tuple[float | None, dict[str, float]]:
        """Validate the model as it is and keep it if it is the best; return score and metrics."""
        trainer, digits = self._trainer, self._config["metric_decimal_place"]
        result = trainer.evaluate(self._valid_data)
        for best in phase.best:
            score = round(result[best.metric], digits)
            best.update(score, phase.epoch, self._model, trainer.valid_metric_bigger)
        return result[trainer.valid_metric], result

    def _restore(self, phase: PhaseState, saved: checkpoint.SavedState) -> None:
        load_weights(self._model, checkpoint.model_weights(saved.tensors))
        checkpoint.unpack_outside(self._model, saved.tensors)
        try:
            phase.load_state_dict(saved.tensors, saved.values)
        except ValueError as error:  # of other parameters, as with two optimizers in turn
            name = self._config["model"]
            raise UserError(f"run: {name} cannot be resumed within a phase ({error})") from None
        rng = checkpoint.without_prefix("rng/", saved.tensors)
        checkpoint.unpack_rng(rng, saved.values["rng"], self._train_data.generator)


@dataclass(frozen=True)
class ChosenEpochs:
    """What validation has chosen in the first fit, and the scores that its schedule has seen.

    Attributes
    ----------
    best : mapping
        By phase the best epoch, or one per domain.
    scores : mapping
        Overall validation score by phase and epoch, of the epochs that were validated.
    """

    best: Mapping[str, int | Mapping[str, int]]
    scores: Mapping[tuple[str, int], float]

    @classmethod
    def from_history(cls, history: History, metric: str) -> "ChosenEpochs":
        """Read a finished fit; `metric` is the one that chose epochs, such as ``ndcg@10``."""
        best = {phase["name"]: phase["best_epoch"] for phase in history.phases}
        scores = {(row["phase"], row["epoch"]): row[metric] for row in history.curves}
        return cls(best, scores)

    def epoch(self, phase: str, scope: str) -> int:
        """Return the epoch whose weights are kept, of a domain or of ``all``."""
        best = self.best[phase]
        return best[scope] if isinstance(best, Mapping) else best

    def last(self, phase: str) -> int:
        """Return how many epochs a phase is trained for: until the last domain has its own."""
        best = self.best[phase]
        return max(best.values()) if isinstance(best, Mapping) else best


class FinalLoop(PhaseLoop):
    """Trains phases for the chosen numbers of epochs and validates nothing [ours].

    Up to these epochs a phase goes as in the first fit: a plateau schedule is given the scores of
    that fit, and each domain's part keeps the weights of its own epoch.

    Parameters
    ----------
    chosen : ChosenEpochs
        Of the first fit.
    *args, **keys
        As for `PhaseLoop`.
    """

    def __init__(self, chosen: ChosenEpochs, *args: Any, **keys: Any):
        super().__init__(*args, **keys)
        self._chosen = chosen

    def _settings(self, name: str) -> PhaseSettings:
        return replace(super()._settings(name), epochs=self._chosen.last(name))

    def _select(self, phase: PhaseState) -> tuple[float | None, dict[str, float]]:
        """Keep the weights of the parts whose epoch it is; return the first fit's score."""
        for part in phase.best:
            if phase.epoch == self._chosen.epoch(phase.name, part.scope):
                part.keep(phase.epoch, self._model)
        return self._chosen.scores.get((phase.name, phase.epoch)), {}
