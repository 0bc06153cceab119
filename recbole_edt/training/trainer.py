"""Training in phases, with the same evaluation, checkpoints and logs for every model."""

import csv
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from recbole_edt.config.schema import DOMAIN
from recbole_edt.errors import UserError
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.report import flatten_metrics, metric_names, report_metrics
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import replacing
from recbole_edt.recbole_bridge import Trainer
from recbole_edt.recbole_bridge.stock import stock_trainer
from recbole_edt.training import checkpoint
from recbole_edt.training.averaging import WeightAverage
from recbole_edt.training.phases import Choice, PhaseSettings
from recbole_edt.training.shared_run import finished_phase

_SINGLE = "train"  # the only phase of a model without phases of its own


class PhasedTrainer(Trainer):
    """RecBole's trainer with phases, our evaluation and checkpoints without pickle.

    A model without phases is trained in one phase, epoch by epoch as RecBole does, and ends
    with RecBole's numbers. `LLMEDT` runs its phases one after another, each with its own
    optimizer, schedule and early stopping; a phase starts from the best epoch of the one
    before. In the domain phase the best epoch, "no change" included, is kept per domain.

    Parameters
    ----------
    config : EDTConfig
        ``run_dir`` says where checkpoints and curves are written.
    model : RecBole model
        The model.
    shared_from : pathlib.Path, optional
        A finished run whose shared phase is this run's too, digit for digit: it is taken over.
        The key ``shared_run`` asks for one in the configuration.

    Attributes
    ----------
    phases : list of dict
        Per finished phase: name, epochs, best_epoch (per domain in the domain phase), seconds.
    """

    def __init__(self, config: Any, model: Any, shared_from: Path | None = None):
        try:
            super().__init__(config, model)
        except ImportError as error:  # RecBole's logger of Weights & Biases
            if not config["log_wandb"]:
                raise
            raise UserError("log_wandb: wandb is not installed; pip install wandb") from error
        self.shared_from = Path(config["shared_run"]) if config["shared_run"] else shared_from
        self.run_dir = Path(config["run_dir"])
        if config["log_tensorboard"]:
            self.tensorboard = SummaryWriter(self.run_dir / "tensorboard")
        self.metrics = metric_names(config["metrics"], config["topk"])
        if self.valid_metric not in self.metrics:
            self.metrics = [*self.metrics, self.valid_metric]
        self.phases: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.clip_grad_norm: dict[str, Any] | None
        self._resumed: dict[str, Any] | None = None

    # ----------------------------------------------------------------- evaluation

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
        ranks = rank_targets(self.model, eval_data, self.config["candidates"])
        return flatten_metrics(report_metrics(ranks, eval_data, self.metrics))

    # ------------------------------------------------------------------- training

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
        names = list(getattr(self.model, "phases", (_SINGLE,)))
        self.domains = valid_data.part.domains
        self.data_hashes = valid_data.part.hashes()
        checkpoint.refuse_other_data(self.run_dir, self._resumed or {}, valid_data.part)
        if self.config["train_neg_sample_args"].get("dynamic", False):
            train_data.get_model(self.model)
        # Every phase begins with the same draws, whether the one before was trained here or not.
        draws = checkpoint.pack_rng(getattr(train_data, "generator", None))
        start = names.index(self._resumed["phase"]) if self._resumed else 0
        if self.shared_from and not self._resumed:
            start = int(self._take_over(self.shared_from, names[0], valid_data))
        for name in names[start:]:
            checkpoint.unpack_rng(*draws, getattr(train_data, "generator", None))
            self._run_phase(name, train_data, valid_data, show_progress, callback_fn)
        self.model.eval()
        valid_result = self.evaluate(valid_data)
        self.tensorboard.close()
        return valid_result[self.valid_metric], valid_result

    def _take_over(self, source: Path, name: str, valid_data: Targets) -> bool:
        """Take the first phase over from a run; False if it is to be trained after all.

        What the user asked for by ``shared_run`` fails where it does not fit. What a comparison
        found by itself only saves time.
        """
        try:
            done = finished_phase(source, name, self.config, valid_data)
            self.model.take_shared(_part(done.tensors, "model/"))
        except UserError as error:
            if self.config["shared_run"]:
                raise
            self.logger.info(f"{name} phase is trained anew; {error}")
            return False
        self.phases, self.curves = [done.phase], done.curves
        self.logger.info(f"{name} phase taken over from {source}")
        return True

    def _run_phase(
        self,
        name: str,
        train_data: Any,
        valid_data: Targets,
        show_progress: bool,
        callback_fn: Callable[[int, float], None] | None,
    ) -> None:
        self._enter_phase(name, len(train_data))
        resumed, self._resumed = self._resumed, None
        if resumed:
            self._restore(resumed, train_data)
        elif name == DOMAIN:
            self._validate(name, 0, 0.0, 0.0, valid_data)
            self._save(name, 0, train_data)
        epoch, settings = (resumed["epoch"] if resumed else 0), self.settings
        while not (resumed and resumed["phase_done"]):
            if epoch >= settings.epochs or self._is_stale(epoch):
                break
            epoch += 1
            rate = settings.rate(epoch)
            for group in self.optimizer.param_groups if rate is not None else ():
                group["lr"] = rate
            begun = time.perf_counter()
            loss = self._epoch(train_data, epoch, show_progress)
            seconds = time.perf_counter() - begun
            self.seconds += seconds
            total = sum(loss) if isinstance(loss, tuple) else loss
            if epoch % self.config["eval_step"] and epoch < settings.epochs:
                continue
            score = self._validate(name, epoch, total / len(train_data), seconds, valid_data)
            self._save(name, epoch, train_data)
            if callback_fn:
                callback_fn(epoch, score)
        self._leave_phase(name, epoch, train_data)

    def _epoch(self, train_data: Any, epoch: int, show_progress: bool) -> Any:
        try:
            return self._train_epoch(train_data, epoch - 1, show_progress=show_progress)
        except ValueError as error:
            if "loss is nan" not in str(error):
                raise
            raise UserError(
                f"model: the loss is not a number in epoch {epoch}; training has diverged"
            ) from None

    def _enter_phase(self, name: str, steps: int) -> None:
        """Build what a phase of so many steps an epoch needs: settings, optimizer, choices."""
        if name != _SINGLE:
            self.model.begin_phase(name)
            self.settings = PhaseSettings.from_config(name, self.config)
        else:
            config = self.config
            self.settings = PhaseSettings(
                name, self.learning_rate, self.weight_decay, self.epochs, config["min_epochs"],
                self.stopping_step, self.clip_grad_norm,
                # models of RecBole's have no such keys
                config["lr_scheduler"] or "none", config["lr_patience"] or 0,
                config["lr_factor"] or 1.0, config["warmup_epochs"] or 0,
                config["average_epochs"],
            )  # fmt: skip
        self.clip_grad_norm = self.settings.clip_grad_norm
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if name != _SINGLE:  # a stock model keeps the optimizer that RecBole built
            self.optimizer = self._build_optimizer(
                params=trained,
                learning_rate=self.settings.learning_rate,
                weight_decay=self.settings.weight_decay,
            )
        self.average = None
        if self.settings.average_epochs:
            constant = steps * self.settings.average_epochs
            self.average = WeightAverage(self.model, self.optimizer, constant)
        self.scheduler = None
        if self.settings.lr_scheduler == "plateau":
            self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.optimizer,
                mode="max",
                factor=self.settings.lr_factor,
                patience=self.settings.lr_patience,
            )
        on_tie = name == DOMAIN  # of equal scores, the one nearer to "no change"
        separate = getattr(self.model, "separate_parts", lambda phase: None)(name)
        if separate and self.config["candidates"] == "target_domain":
            self.choices = [
                Choice(f"{self.valid_metric}/{domain}", prefix, on_tie)
                for domain, prefix in zip(self.domains, separate, strict=True)
            ]
        else:
            self.choices = [Choice(self.valid_metric, keep_on_tie=on_tie)]
        self.seconds = 0.0

    def _validate(
        self, name: str, epoch: int, loss: float, seconds: float, valid_data: Targets
    ) -> float:
        with self.average.in_place() if self.average else nullcontext():
            result = self.evaluate(valid_data)
            for choice in self.choices:
                score = round(result[choice.metric], self.config["metric_decimal_place"])
                choice.offer(score, epoch, self.model, self.valid_metric_bigger)
        score = result[self.valid_metric]
        if self.scheduler is not None and epoch > self.settings.warmup_epochs:
            self.scheduler.step(score)
        row = {"phase": name, "epoch": epoch, "loss": loss, "seconds": round(seconds, 6), **result}
        self.curves.append(row)
        step = len(self.curves)  # one axis over all phases
        self.tensorboard.add_scalar("loss/train", loss, step)
        for metric, value in result.items():
            self.tensorboard.add_scalar(f"valid/{metric}", value, step)
        self.wandblogger.log_metrics({"loss": loss, "train_step": step}, head="train")
        self.wandblogger.log_metrics({**result, "valid_step": step}, head="valid")
        domains = ", ".join(f"{d} {result[f'{self.valid_metric}/{d}']:.4f}" for d in self.domains)
        done = f"loss {loss:8.4f}" if epoch else "no change yet"
        self.logger.info(
            f"{name} epoch {epoch:3d}  {done:13}  valid {self.valid_metric} {score:.4f} "
            f"({domains})  {seconds:.1f} s"
        )
        return score

    def _is_stale(self, epoch: int) -> bool:
        if epoch < self.settings.min_epochs:
            return False
        return all(choice.stale > self.settings.stopping_step for choice in self.choices)

    def _leave_phase(self, name: str, epoch: int, train_data: Any) -> None:
        """Load the chosen epochs' weights and record the phase."""
        weights = self.model.state_dict()
        for choice in self.choices:
            weights.update(choice.state)
        self._load(weights)
        if self.phases and self.phases[-1]["name"] == name:
            return  # resumed after its end
        best = {c.metric.partition("/")[2] or "all": c.epoch for c in self.choices}
        self.phases.append(
            {
                "name": name,
                "epochs": epoch,
                "best_epoch": best.get("all", best),
                "seconds": round(self.seconds, 6),
            }
        )
        told = str(best["all"]) if "all" in best else ", ".join(f"{d} {n}" for d, n in best.items())
        self.logger.info(f"{name} phase: {epoch} epochs, best {told}")
        self._save(name, epoch, train_data, phase_done=True)

    # ---------------------------------------------------------------- checkpoints

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        """Do nothing: RecBole would write a pickle here; `_save` keeps the best weights."""

    def _save(self, name: str, epoch: int, train_data: Any, phase_done: bool = False) -> None:
        """Write everything that a killed run needs to go on after this epoch."""
        optimizer, groups = checkpoint.pack_optimizer(self.optimizer)
        rng, rng_info = checkpoint.pack_rng(getattr(train_data, "generator", None))
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= checkpoint.pack_outside(self.model)
        tensors |= {f"optimizer/{k}": v for k, v in optimizer.items()}
        tensors |= {f"rng/{k}": v for k, v in rng.items()}
        if self.average:
            tensors |= {f"average/{k}": v for k, v in self.average.state().items()}
        choices = []
        for number, choice in enumerate(self.choices):
            tensors |= {f"best{number}/{k}": v for k, v in choice.state.items()}
            score = choice.score if math.isfinite(choice.score) else None  # none was offered yet
            choices.append({"score": score, "epoch": choice.epoch, "stale": choice.stale})
        info = {
            **self.data_hashes,
            "phase": name,
            "epoch": epoch,
            "phase_done": phase_done,
            "seconds": self.seconds,
            "phases": self.phases,
            "choices": choices,
            "param_groups": groups,
            "scheduler": self._scheduler_state(),
            "rng": rng_info,
            "curves": self.curves,
        }
        folder = self.run_dir / "checkpoint"
        checkpoint.save_state(folder, f"{name}-{epoch}{'-end' * phase_done}", tensors, info)
        self._write_curves()

    def _scheduler_state(self) -> dict[str, Any]:
        """Return the schedule's state without infinities, which a new one starts with anyway."""
        state = self.scheduler.state_dict() if self.scheduler else {}
        return {k: v for k, v in state.items() if not isinstance(v, float) or math.isfinite(v)}

    def resume(self) -> bool:
        """Take up the run of ``run_dir`` where its checkpoint stopped; False if it has none.

        Raises
        ------
        UserError
            When the checkpoint is damaged or of another model.
        """
        found = checkpoint.load_state(self.run_dir / "checkpoint")
        if found is None:
            return False
        tensors, info = found
        try:
            self._load(_part(tensors, "model/"))
        except RuntimeError as error:
            where = f"{self.run_dir}/checkpoint"
            raise UserError(f"{where}: of another model ({_one_line(error)})") from None
        self._resumed = {**info, "tensors": tensors}
        self.phases, self.curves = info["phases"], info["curves"]
        self.logger.info(f"resuming after {info['phase']} epoch {info['epoch']}")
        return True

    def _load(self, weights: dict[str, Tensor]) -> None:
        """Load weights, and forget what the model had computed from others."""
        self.model.load_state_dict(weights)
        for name in checkpoint.CACHES:
            if name in (getattr(self.model, "other_parameter_name", None) or ()):
                setattr(self.model, name, None)

    def _restore(self, info: dict[str, Any], train_data: Any) -> None:
        """Put optimizer, schedule, choices and random generators back."""
        tensors = info["tensors"]
        self._load(_part(tensors, "model/"))
        checkpoint.unpack_outside(self.model, tensors)
        for number, (choice, kept) in enumerate(zip(self.choices, info["choices"], strict=True)):
            choice.state = _part(tensors, f"best{number}/")
            choice.epoch, choice.stale = kept["epoch"], kept["stale"]
            choice.score = -math.inf if kept["score"] is None else kept["score"]
        optimizer = _part(tensors, "optimizer/")
        checkpoint.unpack_optimizer(self.optimizer, optimizer, info["param_groups"])
        if self.average:
            self.average.restore(_part(tensors, "average/"))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(info["scheduler"])
        self.seconds = info["seconds"]
        generator = getattr(train_data, "generator", None)
        checkpoint.unpack_rng(_part(tensors, "rng/"), info["rng"], generator)

    def _write_curves(self) -> None:
        columns = list(self.curves[-1]) if self.curves else []
        with (
            replacing(self.run_dir / "curves.csv") as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as handle,
        ):
            writer = csv.DictWriter(handle, columns, lineterminator="\n")  # quotes domain names
            writer.writeheader()
            writer.writerows(self.curves)


def get_trainer(model_type: Any, name: str) -> type[PhasedTrainer]:
    """Return the trainer class for a model: ours, above RecBole's special one if it has one.

    Raises
    ------
    UserError
        For a model whose RecBole trainer brings its own training loop.
    """
    stock = stock_trainer(model_type, name)
    if stock is Trainer:
        return PhasedTrainer
    if not issubclass(stock, Trainer) or stock.fit is not Trainer.fit:
        raise UserError(f"model: {name} brings its own training loop, which is not supported yet")
    return type(f"Phased{stock.__name__}", (PhasedTrainer, stock), {})


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
