"""Exponential moving average of the weights, validated and kept in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_Rows = Tensor | slice


class WeightAverage:
    """Exponential moving average of a model's trained weights, updated after every step.

    It starts at the weights it is given, so that a phase that starts at "no change" still does.
    Of tables with sparse gradients a step costs the rows that it changes.

    Parameters
    ----------
    model : torch.nn.Module
        Parameters that require a gradient are averaged; all others, and buffers, are not.
    optimizer : torch.optim.Optimizer
        Its steps are counted.
    steps : float
        Time constant in steps; a step counts with 1 / steps, at most 1.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, steps: float):
        self._weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._mean = {n: p.detach().clone() for n, p in self._weights.items()}
        self._decay = 1 - 1 / max(steps, 1.0)
        self._update_average = get_ema_multi_avg_fn(self._decay)
        self._tables: dict[str, _TableAverage] = {}
        self._changing: dict[str, _Rows] = {}
        optimizer.register_step_pre_hook(lambda *_: self._prepare())
        optimizer.register_step_post_hook(lambda *_: self._update())

    @torch.no_grad()
    def _prepare(self) -> None:
        """Note which rows of tables the step is going to change."""
        self._changing = {}
        for name, weight in self._weights.items():
            if weight.grad is not None and weight.grad.is_sparse:
                weight.grad = weight.grad.coalesce()
                if name not in self._tables:
                    self._tables[name] = _TableAverage(self._mean[name], weight, self._decay)
                self._changing[name] = weight.grad.indices()[0]
            elif weight.grad is not None and name in self._tables:
                self._changing[name] = slice(None)
        for name, rows in self._changing.items():
            self._tables[name].catch_up(rows)

    @torch.no_grad()
    def _update(self) -> None:
        dense = [name for name in self._mean if name not in self._tables]
        means, weights = [self._mean[n] for n in dense], [self._weights[n] for n in dense]
        self._update_average(means, weights, 0)
        for name, table in self._tables.items():
            table.update(self._changing.get(name))

    @torch.no_grad()
    def _catch_up(self) -> None:
        for table in self._tables.values():
            table.catch_up(slice(None))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the average for the time of a block."""
        self._catch_up()
        last = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._write(self._mean)
        try:
            yield
        finally:
            self._write(last)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by parameter name."""
        self._catch_up()
        return dict(self._mean)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state_dict` returned."""
        self._catch_up()
        for name, mean in self._mean.items():
            mean.copy_(state[name])


class _TableAverage:
    """The moving average of a table; rows that do not change are brought up to date when read.

    While a row w stays as it is, n steps take its mean m to w + decay^n (m - w).
    """

    def __init__(self, mean: Tensor, weight: Tensor, decay: float):
        self._mean, self._weight, self._decay = mean, weight, decay
        self._steps = 0
        self._until = torch.zeros(len(mean), dtype=torch.int64, device=mean.device)

    def catch_up(self, rows: _Rows) -> None:
        """Count the steps that left rows unchanged; before these rows change."""
        missed = self._steps - self._until[rows]
        share = (self._decay ** missed.double()).to(self._mean.dtype)
        weight, mean = self._weight.detach()[rows], self._mean[rows]
        share = share.view(-1, *[1] * (mean.dim() - 1))
        # where nothing was missed the mean stays as it is, to the last digit
        behind = (missed > 0).view_as(share)
        self._mean[rows] = torch.where(behind, weight + (mean - weight) * share, mean)
        self._until[rows] = self._steps

    def update(self, rows: _Rows | None) -> None:
        """Count a step, which changed some rows."""
        self._steps += 1
        if rows is not None:
            weight = self._weight.detach()[rows]
            self._mean[rows] = self._mean[rows].lerp(weight, 1 - self._decay)
            self._until[rows] = self._steps
