"""Right-padded sequences of a fixed width as tensor operations only, without data-dependent sizes.

The models cut a batch to its longest sequence and leave out empty ones; a graph cannot.
"""

import torch
from torch import Tensor


def latest(history: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the last items of right-padded histories, and how many there are.

    Parameters
    ----------
    history : torch.Tensor
        Item numbers, oldest first, int64 [B, L]; 0 pads on the right.
    width : int
        Items that are kept.

    Returns
    -------
    tuple
        Int64 [B, width], padded on the right, and their lengths, int64 [B].

    Examples
    --------
    >>> items, lengths = latest(torch.tensor([[1, 2, 3], [4, 0, 0]]), 2)
    >>> items.tolist(), lengths.tolist()
    ([[2, 3], [4, 0]], [2, 1])
    """
    lengths = (history > 0).sum(1)
    first = (lengths - width).clamp(min=0).unsqueeze(1)
    index = first + torch.arange(width, device=history.device)
    inside = index < lengths.unsqueeze(1)
    items = history.gather(1, index.clamp(max=history.shape[1] - 1))
    return torch.where(inside, items, 0), lengths.clamp(max=width)


def packed(items: Tensor, inside: Tensor) -> Tensor:
    """Move some items of each row to the left, 0 beyond them.

    Parameters
    ----------
    items : torch.Tensor
        Int64 [B, T].
    inside : torch.Tensor
        Which of them, bool [B, T].

    Examples
    --------
    >>> packed(torch.tensor([[5, 6, 7]]), torch.tensor([[False, True, True]])).tolist()
    [[6, 7, 0]]
    """
    width = items.shape[1]
    target = torch.where(inside, inside.cumsum(1) - 1, width)
    return torch.zeros_like(items[:, :1]).expand(-1, width + 1).scatter(1, target, items)[:, :width]


def state_at(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the state of the last of `lengths` items [B] among [B, T, d], the first without any.

    Examples
    --------
    >>> state_at(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([2, 0])).tolist()
    [[2.0], [3.0]]
    """
    index = (lengths - 1).clamp(min=0).view(-1, 1, 1)
    return states.gather(1, index.expand(-1, 1, states.shape[2])).squeeze(1)
