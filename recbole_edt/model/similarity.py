"""Similarity of all items to a user's last items, by their LLM vectors only: no training."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

_MOST_SIMILARITIES = 1 << 25  # at a time: 128 MiB in float32


def unit_vectors(vectors: Any) -> Tensor:
    """Return float32 vectors [N, m] scaled to length one; rows of zeros stay zero."""
    return F.normalize(torch.as_tensor(vectors, dtype=torch.float32), dim=1)


def last_items(items: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Return the last items of right-padded histories, latest first, 0 beyond the first.

    Parameters
    ----------
    items : torch.Tensor
        Item ids, int64 [B, L].
    lengths : torch.Tensor
        Items of each history, int64 [B].
    count : int
        Items wanted.

    Returns
    -------
    torch.Tensor
        Int64 [B, count].
    """
    at = lengths.unsqueeze(1) - 1 - torch.arange(count, device=items.device)
    return items.gather(1, at.clamp(min=0)) * (at >= 0)


def similarity_scores(unit: Tensor, recent: Tensor, how: str, lag: float) -> Tensor:
    """Score all items by their cosine similarity to some users' last items.

    Parameters
    ----------
    unit : torch.Tensor
        Unit vectors of all items, [N, m]; row 0 is the padding item.
    recent : torch.Tensor
        Last items, latest first, 0 where there is none, int64 [B, n].
    how : str
        ``max`` over the items, their ``mean``, or the ``last`` only.
    lag : float
        What each step back costs (``max`` only).

    Returns
    -------
    torch.Tensor
        [B, N]; zero for a user without items.
    """
    known = recent > 0
    if how != "max":
        weight = known.float()
        if how == "last":
            weight[:, 1:] = 0
        mean = (unit[recent] * weight.unsqueeze(2)).sum(1)
        return mean / weight.sum(1, keepdim=True).clamp(min=1) @ unit.T
    scores = torch.empty(len(recent), len(unit), device=unit.device)
    cost = lag * torch.arange(recent.shape[1], device=unit.device).unsqueeze(1)
    users = max(_MOST_SIMILARITIES // (recent.shape[1] * len(unit)), 1)
    for start in range(0, len(recent), users):
        some = slice(start, start + users)
        similar = unit[recent[some]] @ unit.T  # [b, n, N]
        similar -= cost
        similar.masked_fill_(~known[some].unsqueeze(2), -torch.inf)
        torch.amax(similar, 1, out=scores[some])
    return scores.masked_fill_(~known[:, :1], 0.0)
