"""Rows of a table whose gradient holds these rows only, so that a step costs no full table."""

from typing import Any

import torch
from torch import Tensor


def rows_of(table: Tensor, ids: Tensor, padding: int | None = None) -> Tensor:
    """Return ``table[ids]`` with a sparse gradient of the table.

    As `torch.nn.functional.embedding` with ``sparse=True``, for tables of one number a row too.

    Parameters
    ----------
    table : torch.Tensor
        [N, ...].
    ids : torch.Tensor
        Rows, int64 [n].
    padding : int, optional
        A row that gets no gradient.
    """
    rows: Tensor = _Rows.apply(table, ids, padding)
    return rows


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, padding: int | None) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.padding, ctx.size = padding, table.shape
        return table[ids]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (ids,), (grad,) = ctx.saved_tensors, grads
        if ctx.padding is not None:
            kept = ids != ctx.padding
            ids, grad = ids[kept], grad[kept]
        rows = torch.sparse_coo_tensor(ids.unsqueeze(0), grad, ctx.size, check_invariants=False)
        return rows, None, None
