"""Negatives drawn without replacement, and their scores without a vector per negative."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from recbole_edt.model.batch_share import draw_rows, generator


def draw_sets(
    members: Tensor, seen: Tensor, owner: Tensor, count: int, shared: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw sets of different items of a domain that their owner has not seen.

    Every set is a stretch, from a random position on, of one random order of the domain; each is
    uniform, two may overlap more often than independent ones.

    Parameters
    ----------
    members : torch.Tensor
        Item ids of the domain, [n].
    seen : torch.Tensor
        What nobody may be given: bool [owners, n_items].
    owner : torch.Tensor
        Whose set each is, int64 [G].
    count : int
        Size of a set; of a domain without so many items all are taken.
    shared : bool
        Whether it is one set for the whole batch: the same in every share of it.

    Returns
    -------
    tuple
        Item ids, int64 [G, n'] with n' = min(count, n), and which of them remain seen because the
        domain has nothing better, bool [G, n'].
    """
    device = members.device
    spare = int(seen[:, members].sum(1).max()) if len(seen) else 0
    width = min(count + spare, len(members))
    source = generator(device)
    order = members[torch.randperm(len(members), device=device, generator=source)]
    if shared:
        start = torch.randint(len(members), (1, 1), device=device, generator=source)
    else:
        start = draw_rows((len(owner), 1), device, below=len(members))
    ids = order[(start + torch.arange(width, device=device)) % len(members)]
    is_seen = seen[owner.unsqueeze(1), ids]
    unseen_first = is_seen.byte().argsort(dim=1, stable=True)[:, :count]
    return ids.gather(1, unseen_first), is_seen.gather(1, unseen_first)


def scores_of_own_sets(states: Tensor, table: Tensor, ids: Tensor) -> Tensor:
    """Return <state, vector> of each state [M, d] with its own items `ids` [M, n], as [M, n].

    `table` [n_items, d] holds the vectors; no [M, n, d] tensor is made, which costs more time
    than the products. The items of a state are all different.
    """
    return _ScoresOfOwnSets.apply(states, table, ids)


class _ScoresOfOwnSets(torch.autograd.Function):
    """Products at the given entries of states @ table.T, and the sums that are its gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(states, table, ids)
        starts = torch.arange(0, ids.numel() + 1, ids.shape[1], device=ids.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls this layout a beta
            entries = torch.sparse_csr_tensor(
                starts, ids.flatten(), states.new_zeros(ids.numel()), (len(states), len(table))
            )
            scores = torch.sparse.sampled_addmm(entries, states, table.T, beta=0.0)
        return scores.values().view_as(ids)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        states, table, ids = ctx.saved_tensors
        (grad,) = grads
        of_states = F.embedding_bag(ids, table, per_sample_weights=grad.contiguous(), mode="sum")
        by_item = ids.flatten().argsort(stable=True)
        state = by_item // ids.shape[1]
        uses = torch.bincount(ids.flatten(), minlength=len(table))
        of_table = F.embedding_bag(
            state,
            states,
            uses.cumsum(0) - uses,
            per_sample_weights=grad.flatten()[by_item],
            mode="sum",
        )
        return of_states, of_table, None
