"""The top of each target's list, in agreement with the target's rank whatever scores tie."""

import torch
from torch import Tensor


def with_target(
    others: Tensor,
    excluded: Tensor | None,
    columns: Tensor | None,
    target: Tensor,
    ranks: Tensor,
    length: int,
) -> Tensor:
    """Return the best of the other candidates with the target put at its rank.

    Parameters
    ----------
    others : torch.Tensor
        Scores of candidates, [b, n], none of them NaN.
    excluded : torch.Tensor or None
        Those that are no candidates, and the target, bool [b, n]; None: no such one.
    columns : torch.Tensor or None
        What each of `others` is called, int64 [b, n]; its column by default.
    target : torch.Tensor
        What each row's target is called, int64 [b].
    ranks : torch.Tensor
        Its rank, 1 for the best, int64 [b].
    length : int
        Entries per list.

    Returns
    -------
    torch.Tensor
        Int64 [b, length], best first, -1 beyond the last candidate.

    Examples
    --------
    The target, column 2, ties with column 1 and is ranked behind it; column 0 was seen:

    >>> excluded = torch.tensor([[True, False, True, False]])
    >>> scores, target = torch.tensor([[0.9, 0.5, 0.5, 0.1]]), torch.tensor([2])
    >>> with_target(scores, excluded, None, target, torch.tensor([2]), 4).tolist()
    [[1, 2, 3, -1]]
    """
    if excluded is not None:  # a candidate that scores minus infinity stays one
        lowest = torch.finfo(others.dtype).min
        others = others.clamp(min=lowest).masked_fill_(excluded, -torch.inf)
    best = others.topk(min(length, others.shape[1]), dim=1)
    names = best.indices if columns is None else columns.gather(1, best.indices)
    if excluded is not None:
        names = names.masked_fill(best.values == -torch.inf, -1)
    lists = names.new_full((len(names), length), -1)
    lists[:, : names.shape[1]] = names
    index = torch.arange(length, device=lists.device)
    before = index - (index > ranks[:, None] - 1).long()  # the place in the list without the target
    lists = lists.gather(1, before)
    return torch.where(index == ranks[:, None] - 1, target[:, None], lists)


def items_of_columns(lists: Tensor, in_domain: Tensor | None) -> Tensor:
    """Return the item ids of columns, 0 for -1, same shape.

    Parameters
    ----------
    lists : torch.Tensor
        Columns, int64 [b, length].
    in_domain : torch.Tensor or None
        Items whose scores the columns are, in rising order of their ids, bool [item_num]; None:
        column i is item i.
    """
    if in_domain is None:
        return lists.clamp(min=0)
    items = in_domain.nonzero()[:, 0]
    return torch.where(lists < 0, 0, items[lists.clamp(min=0)])
