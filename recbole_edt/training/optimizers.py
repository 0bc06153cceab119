"""The optimizer of a phase, also for tables of which a step changes a few rows only."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, SparseAdam
from torch.utils.hooks import RemovableHandle

from recbole_edt.errors import UserError
from recbole_edt.model.protocols import Capabilities
from recbole_edt.recbole_bridge.trainer import EpochTrainer
from recbole_edt.training.phase import PhaseSettings

_BY_SPARSE_ADAM = ("adam", "adamw")
_LEAVE_OTHER_ROWS = ("sgd", "adagrad")  # with sparse gradients, which both accept, as with dense


def phase_optimizer(
    trainer: EpochTrainer, capabilities: Capabilities, settings: PhaseSettings
) -> Optimizer:
    """Return a new optimizer of what a phase trains, and let the trainer clip its gradients.

    Tables with sparse gradients (`recbole_edt.model.protocols.SparseGradients`) are updated by
    torch's `SparseAdam` where the key ``learner`` is adam or adamw, everything else as it says.

    Raises
    ------
    UserError
        For a learner or a weight decay that would have to change every row of such a table.
    """
    trained = list(capabilities.trained_parameters())
    tables = [p for p in capabilities.sparse_parameters() if p.requires_grad]
    for table in capabilities.sparse_parameters():
        table.grad = None  # of an earlier phase: RecBole's trainer clips frozen parameters too
    trainer.clip_grad_norm = settings.clip_grad_norm
    rate, decay = settings.learning_rate, settings.weight_decay
    if not tables:
        return trainer.build_optimizer(trained, rate, decay)
    learner = trainer.config["learner"].lower()
    if learner not in _BY_SPARSE_ADAM + _LEAVE_OTHER_ROWS:
        raise UserError(
            f"learner: found {learner!r}, expected one of "
            f"{[*_BY_SPARSE_ADAM, *_LEAVE_OTHER_ROWS]} with sparse_updates; others need "
            "sparse_updates: False"
        )
    if decay:
        raise UserError(
            f"weight_decay: found {decay}, expected 0 with sparse_updates, because decay changes "
            "every row; set sparse_updates: False"
        )
    optimizer: Optimizer
    if learner in _LEAVE_OTHER_ROWS:
        optimizer = trainer.build_optimizer(trained, rate, decay)
    else:
        rows = {id(table) for table in tables}
        dense = trainer.build_optimizer(_part(trained, lambda p: id(p) not in rows), rate, decay)
        sparse = SparseAdam(_part(trained, lambda p: id(p) in rows), lr=rate)
        optimizer = DenseAndSparse(dense, sparse)
    if settings.clip_grad_norm:
        trainer.clip_grad_norm = None  # torch's function knows no sparse gradients
        clip_before_step(optimizer, settings.clip_grad_norm)
    return optimizer


def _part(trained: Sequence[Any], wanted: Callable[[nn.Parameter], bool]) -> list[Any]:
    """Return the wanted ones of some parameters or parameter groups, without empty groups."""
    if not isinstance(trained[0], dict):
        return [parameter for parameter in trained if wanted(parameter)]
    groups = [{**group, "params": _part(group["params"], wanted)} for group in trained]
    return [group for group in groups if group["params"]]


class DenseAndSparse(Optimizer):
    """Two optimizers as one: of parameters with dense gradients, and of tables with sparse ones.

    Groups and state are shared with the two, so that schedules and checkpoints see one optimizer.

    Parameters
    ----------
    dense : torch.optim.Optimizer
        Of the former.
    sparse : torch.optim.SparseAdam
        Of the latter.
    """

    def __init__(self, dense: Optimizer, sparse: SparseAdam):
        self._dense, self._sparse = dense, sparse
        super().__init__([*dense.param_groups, *sparse.param_groups], {})
        self._share()

    def _share(self) -> None:
        of_dense = len(self._dense.param_groups)
        self._dense.state = self._sparse.state = self.state
        self._dense.param_groups = self.param_groups[:of_dense]
        self._sparse.param_groups = self.param_groups[of_dense:]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step of both."""
        self._dense.step()
        self._sparse.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self._share()
        for group in self._sparse.param_groups:
            for table in group["params"]:
                if "step" in self.state[table]:  # a Python number, whose powers are float64
                    self.state[table]["step"] = int(self.state[table]["step"])


def clip_before_step(optimizer: Optimizer, clipping: dict[str, Any]) -> RemovableHandle:
    """Clip gradients before each step as `torch.nn.utils.clip_grad_norm_`, sparse ones too."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return optimizer.register_step_pre_hook(lambda *_: clip_gradients(parameters, **clipping))


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float, **norm: Any) -> None:
    """Scale all gradients together so that their norm is at most `max_norm`.

    Parameters
    ----------
    parameters : sequence of torch.nn.Parameter
        Those without a gradient are skipped.
    max_norm : float
        Largest norm.
    **norm
        ``norm_type``, ``error_if_nonfinite`` and ``foreach`` of `torch.nn.utils.clip_grad_norm_`.
    """
    values: list[Tensor] = []
    for parameter in parameters:
        grad = parameter.grad
        if grad is not None and grad.is_sparse:  # each row once, or the norm would be another one
            parameter.grad = grad = grad.coalesce()
            grad = grad.values()
        if grad is not None:
            values.append(grad)
    total = nn.utils.get_total_norm(values, **norm)
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)  # torch's own rule
    for value in values:
        value.mul_(scale.to(value.device))
