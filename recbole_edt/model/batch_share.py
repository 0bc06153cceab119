"""One process's share of a batch: what a loss needs of the other processes' shares.

A model whose losses use these functions has ``shares_batches = True``: its loss of a share is then
a part of the loss of the whole batch, and the parts of all processes add up to it, as their
gradients do. Outside `sharing`, and without torchrun always, each returns what one process needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from recbole_edt import distributed

_Count = TypeVar("_Count", int, Tensor)


@dataclass
class _Present:
    sharing: bool = False
    draws: dict[str, torch.Generator] = field(default_factory=dict)


_present = _Present()


@contextmanager
def sharing() -> Iterator[None]:
    """Compute the loss of a share within this block; every process enters it together."""
    _present.sharing = True
    try:
        yield
    finally:
        _present.sharing = False


def shares() -> int:
    """Return how many shares the present batch has: what all compute alike is divided by it."""
    return distributed.size() if _present.sharing else 1


def total(count: _Count) -> _Count:
    """Return the sum of a count over all shares, for a mean over the whole batch."""
    if not _present.sharing:
        return count
    if isinstance(count, Tensor):
        return distributed.add_up(count.detach().clone())
    return sum(distributed.gather_counts(count))


def draw_rows(
    shape: tuple[int, ...], device: torch.device, below: int | None = None, **kind: Any
) -> Tensor:
    """Return random numbers for the rows of a share: what one process draws for these rows.

    Parameters
    ----------
    shape : tuple of int
        Rows of the share first.
    device : torch.device
        Of the result.
    below : int, optional
        Whole numbers from 0 to it; by default numbers from 0 to 1.
    **kind
        ``dtype`` of the latter.
    """
    options: dict[str, Any] = {"device": device, "generator": generator(device), **kind}

    def draw(rows: int) -> Tensor:
        if below is None:
            return torch.rand(rows, *shape[1:], **options)
        return torch.randint(below, (rows, *shape[1:]), **options)

    if not _present.sharing:
        return draw(shape[0])
    counts = distributed.gather_counts(shape[0])
    first = sum(counts[: distributed.rank()])
    return draw(sum(counts))[first : first + shape[0]]


def mean(values: Tensor) -> Tensor:
    """Return the mean of values [n] over the whole batch; a share's part of it."""
    if not _present.sharing:
        return values.mean()
    return values.sum() / max(total(len(values)), 1)


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of all shares in the order of the batch; gradients flow back.

    Parameters
    ----------
    *tensors : torch.Tensor
        Each [n, d] with one n.
    """
    if not _present.sharing:
        return tensors
    whole: Tensor = _GatherRows.apply(torch.cat(tensors, dim=1))
    parts = whole.split([tensor.shape[1] for tensor in tensors], dim=1)
    return tuple(part.contiguous() for part in parts)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = distributed.gather(rows)
        ctx.first = sum(len(part) for part in parts[: distributed.rank()])
        ctx.count = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        whole = distributed.add_up(grads[0].contiguous().clone())
        return whole[ctx.first : ctx.first + ctx.count]


# ---------------------------------------------------------------------------- random generators
#
# Dropout draws from torch's generator, which differs between processes. What a batch draws
# together, such as negatives, comes from a generator that is the same in all of them and goes on
# where one process's would be.


def generator(device: torch.device | str | None = None) -> torch.Generator | None:
    """Return what a model draws from; None for torch's own."""
    kind = torch.device(device or "cpu").type
    return _present.draws.get(kind)


def split_generators(device: torch.device) -> None:
    """Begin to draw what processes share from generators in the present state of torch's."""
    if not _present.draws:
        _present.draws["cpu"] = torch.Generator()
        _present.draws["cpu"].set_state(torch.get_rng_state())
        if device.type == "cuda":
            _present.draws["cuda"] = torch.Generator(device)
            _present.draws["cuda"].set_state(torch.cuda.get_rng_state(device))


def join_generators() -> None:
    """Draw everything from torch's generators, which go on where the shared ones are."""
    for kind, shared in _present.draws.items():
        (torch.cuda if kind == "cuda" else torch).set_rng_state(shared.get_state())
    _present.draws.clear()


def rng_states() -> dict[str, Tensor]:
    """Return the states of the generators that processes share, by type of device."""
    return {kind: shared.get_state() for kind, shared in _present.draws.items()}


def set_rng_states(states: dict[str, Tensor]) -> None:
    """Set the shared generators to what `rng_states` returned."""
    for kind, state in states.items():
        _present.draws[kind].set_state(state)


def forget_generators() -> None:
    """Draw everything from torch's generators, which have just been set."""
    _present.draws.clear()
