"""Training in phases, with the same evaluation, checkpoints and logs for every model."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from recbole_edt import distributed
from recbole_edt.errors import UserError, one_line
from recbole_edt.evaluation.evaluate import evaluate
from recbole_edt.evaluation.report import flatten_metrics, metric_names
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model import batch_share
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.recbole_bridge.model_state import load_weights
from recbole_edt.recbole_bridge.trainer import EpochTrainer, with_stock_trainer
from recbole_edt.training import checkpoint
from recbole_edt.training.callbacks import (
    Callback,
    Checkpoints,
    LogLines,
    TensorBoardScalars,
    WandbMetrics,
)
from recbole_edt.training.loop import ChosenEpochs, FinalLoop, PhaseLoop
from recbole_edt.training.phase import History
from recbole_edt.training.shared_run import ReusableRun, load_first_phase


class PhasedTrainer(EpochTrainer):
    """RecBole's trainer with phases, our evaluation and checkpoints without pickle.

    The phases that the model declares (`recbole_edt.model.protocols`) run one after another, each
    with its own optimizer, schedule and early stopping, from the best weights of the one before.
    A model without phases has one, trained as RecBole does, and ends with RecBole's numbers.

    Parameters
    ----------
    config : EDTConfig
        Of the run.
    model : RecBole model
        The model.
    run_dir : pathlib.Path
        Where checkpoints and curves are written.
    is_final : bool
        Whether it is for `fit_again`, in place of `fit`; logs and checkpoints then say so.
    """

    def __init__(self, config: Any, model: Any, run_dir: Path, is_final: bool = False):
        is_main = distributed.is_main()  # the only process that writes
        # RecBole's constructor makes it
        config["checkpoint_dir"] = str(run_dir / "checkpoint") if is_main else "."
        config["log_wandb"] = config["log_wandb"] and is_main
        super().__init__(config, model)
        self.logger = logging.getLogger(__name__)
        self.capabilities = capabilities_of(model)
        self.run_dir, self._is_final = run_dir, is_final
        self.metrics = metric_names(config["metrics"], config["topk"])
        if self.valid_metric not in self.metrics:
            self.metrics = [*self.metrics, self.valid_metric]
        self.history = History()
        self._saved: checkpoint.SavedState | None = None
        self._callbacks: list[Callback] = []
        if config["log_tensorboard"] and is_main:
            self._callbacks.append(TensorBoardScalars(self.run_dir / "tensorboard"))
        if is_main:
            self._callbacks += [
                WandbMetrics(self.wandblogger, is_final),
                LogLines(self.logger, self.valid_metric, is_final),
            ]

    @property
    def chosen_epochs(self) -> ChosenEpochs:
        """What validation has chosen, after `fit`."""
        return ChosenEpochs.from_history(self.history, self.valid_metric)

    @property
    def phases(self) -> list[dict[str, Any]]:
        """Finished phases; see `History`."""
        return self.history.phases

    def evaluate(
        self,
        eval_data: Targets,
        load_best_model: bool = False,
        model_file: str | None = None,
        show_progress: bool = False,
    ) -> dict[str, float]:
        """Return metrics such as ``ndcg@10`` and ``ndcg@10/DOMAIN`` of the model as it is."""
        if load_best_model or model_file:
            raise UserError("evaluate: the best weights are already loaded when fit() returns")
        found = evaluate(self.model, eval_data, self.metrics, self.config["candidates"])
        return flatten_metrics(found.report)

    def fit(
        self,
        train_data: Any,
        valid_data: Targets | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> tuple[float, dict[str, float]]:
        """Train all phases and leave the model with its best weights.

        Returns
        -------
        tuple
            Best overall validation score and the validation metrics of the final weights.
        """
        if valid_data is None:
            raise UserError("fit: validation data is missing; epochs are chosen on it")
        self._train_phases(PhaseLoop, train_data, valid_data, show_progress, callback_fn)
        result = self.evaluate(valid_data)
        return result[self.valid_metric], result

    def fit_again(self, train_data: Any, chosen: ChosenEpochs, show_progress: bool = False) -> None:
        """Train all phases for epochs that are chosen already, without any validation.

        Parameters
        ----------
        train_data : data loader
            Batches of training and validation rows.
        chosen : ChosenEpochs
            By the first fit, that of a trainer and a model of its own.
        show_progress : bool
            Whether epochs show a progress bar.
        """
        self._train_phases(partial(FinalLoop, chosen), train_data, None, show_progress)

    def _train_phases(
        self,
        make_loop: Callable[..., PhaseLoop],
        train_data: Any,
        valid_data: Targets | None,
        show_progress: bool,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> None:
        """Run all phases, or those that a checkpoint has left; end in evaluation mode."""
        generator, saved_state = train_data.generator, self._saved
        callbacks = list(self._callbacks)
        if distributed.is_main():
            hashes = train_data.dataset.hashes()
            callbacks.append(
                Checkpoints(self.run_dir, self.model, generator, hashes, self._is_final)
            )
        loop = make_loop(self, train_data, valid_data, self.history, callbacks, show_progress)
        recorded = saved_state.values if saved_state else {}
        checkpoint.refuse_other_data(self.run_dir, recorded, train_data.dataset)
        distributed.copy_from_main(self.model.state_dict())
        if self.config["train_neg_sample_args"].get("dynamic", False):
            train_data.get_model(self.model)
        # Every phase begins with the same draws, whether the one before was trained or reused.
        batch_share.forget_generators()  # of an earlier run in this process
        draws = checkpoint.pack_rng(generator)
        names = self.capabilities.phases
        start = names.index(saved_state.phase) if saved_state else len(self.phases)
        for name in names[start:]:
            checkpoint.unpack_rng(*draws, generator)
            loop.run(name, saved_state, callback_fn)
            saved_state = None
        self.model.eval()
        for callback in callbacks:
            callback.on_end()

    def resume(self) -> bool:
        """Load the checkpoint in ``run_dir``, from which `fit` continues; False without one.

        Raises
        ------
        UserError
            When the checkpoint is damaged or of another model.
        """
        saved = checkpoint.load_state_everywhere(self.run_dir / "checkpoint")
        if saved is None:
            return False
        try:
            load_weights(self.model, checkpoint.model_weights(saved.tensors))
        except RuntimeError as error:
            reason = one_line(error, 200)
            raise UserError(f"{self.run_dir}/checkpoint: of another model ({reason})") from None
        self._saved = saved
        self.history = History(saved.values["phases"], saved.values["curves"])
        fit = "final fit: " * self._is_final
        self.logger.info(f"{fit}resuming after {saved.phase} epoch {saved.values['epoch']}")
        return True

    def reuse_first_phase(self, source: ReusableRun, valid_data: Targets) -> None:
        """Load the first phase of a finished run in place of training it; before `fit`.

        Raises
        ------
        UserError
            When the run does not fit; nothing has been loaded then.
        """
        name, split = self.capabilities.phases[0], valid_data.part.split
        self.history = load_first_phase(source, name, self.config, split, self.model)
        self.logger.info(f"{name} phase reused from {source.path}")


def get_trainer(model_type: Any, name: str) -> type[PhasedTrainer]:
    """Return the trainer class for a model: `PhasedTrainer`, above RecBole's special one if any.

    Raises
    ------
    UserError
        For a model whose RecBole trainer brings its own training loop.
    """
    return with_stock_trainer(PhasedTrainer, model_type, name)
