"""Similarity of all items to a user's last items, by their LLM vectors only: no training."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

_MOST_SIMILARITIES = 1 << 25  # at a time: 128 MiB in float32
_MOST_COSINES = 1 << 24  # at a time: 64 MiB in float32


def unit_vectors(vectors: Any) -> Tensor:
    """Return float32 vectors [N, m] scaled to length one; rows of zeros stay zero."""
    return F.normalize(torch.as_tensor(vectors, dtype=torch.float32), dim=1)


def cosine_blocks(
    vectors: Tensor, queries: Tensor, others: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the cosines of some items with other items, block by block, in bounded memory.

    Parameters
    ----------
    vectors : torch.Tensor
        Vectors of all items, [N, m].
    queries, others : torch.Tensor
        Item ids, int64 [q] and [n], n above 0.

    Yields
    ------
    tuple
        Some of the queries, int64 [b], and their cosines, float32 [b, n].
    """
    unit = F.normalize(vectors[others].float(), dim=1).T
    for some in queries.split(max(_MOST_COSINES // len(others), 1)):
        yield some, F.normalize(vectors[some].float(), dim=1) @ unit


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


def similarity_scores(
    unit: Tensor, recent: Tensor, how: str, lag: float, candidates: Tensor | None = None
) -> Tensor:
    """Score items by their cosine similarity to some users' last items.

    Memory beside the result is bounded, however many items there are.

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
    candidates : torch.Tensor, optional
        Unit vectors of the items to score, [C, m]; `unit` by default.

    Returns
    -------
    torch.Tensor
        [B, C]; zero for a user without items.
    """
    candidates = unit if candidates is None else candidates
    known = recent > 0
    if how != "max":
        weight = known.float()
        if how == "last":
            weight[:, 1:] = 0
        mean = (unit[recent] * weight.unsqueeze(2)).sum(1)
        return mean / weight.sum(1, keepdim=True).clamp(min=1) @ candidates.T
    scores = torch.empty(len(recent), len(candidates), device=unit.device)
    cost = lag * torch.arange(recent.shape[1], device=unit.device).unsqueeze(1)
    most = max(_MOST_SIMILARITIES // recent.shape[1], 1)
    items = min(len(candidates), most)
    users = max(most // max(items, 1), 1)
    for start in range(0, len(recent), users):
        some = slice(start, start + users)
        for first in range(0, len(candidates), max(items, 1)):
            columns = slice(first, first + items)
            similar = unit[recent[some]] @ candidates[columns].T  # [b, n, items]
            similar -= cost
            similar.masked_fill_(~known[some].unsqueeze(2), -torch.inf)
            scores[some, columns] = similar.amax(1)
    return scores.masked_fill_(~known[:, :1], 0.0)
