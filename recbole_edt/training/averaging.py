"""Exponential moving average of the weights, validated and kept in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Exponential moving average of a model's trained weights, updated after every step.

    It starts at the weights it is given, so that a phase that starts at "no change" still does.

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
        self._update_average = get_ema_multi_avg_fn(1 - 1 / max(steps, 1.0))
        optimizer.register_step_post_hook(lambda *_: self._update())

    @torch.no_grad()
    def _update(self) -> None:
        self._update_average(list(self._mean.values()), list(self._weights.values()), 0)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the average for the time of a block."""
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
        return dict(self._mean)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state_dict` returned."""
        for name, mean in self._mean.items():
            mean.copy_(state[name])
