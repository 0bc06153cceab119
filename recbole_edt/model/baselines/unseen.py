"""Uniform negatives outside a user's training items, without rejection."""

import numpy as np
import torch
from torch import Tensor, nn

from recbole_edt.model.batch_share import draw_rows


class UnseenItems(nn.Module):
    """Draws items of a group that a user has not interacted with in training.

    Parameters
    ----------
    users, items : numpy.ndarray
        Training interactions, int [n].
    groups, rows : torch.Tensor
        Group of each item id and its index in its group, int64 [n_items]; groups count from 0.
    """

    keys: Tensor
    sizes: Tensor

    def __init__(self, users: np.ndarray, items: np.ndarray, groups: Tensor, rows: Tensor):
        super().__init__()
        sizes = torch.bincount(groups[1:])
        self.n_groups, self.step = len(sizes), len(groups) + 1
        owner = torch.from_numpy(users) * self.n_groups + groups[torch.from_numpy(items)]
        pairs = torch.unique(owner * self.step + rows[torch.from_numpy(items)])
        owner, row = pairs // self.step, pairs % self.step
        rank = torch.arange(len(owner)) - torch.searchsorted(owner, owner)
        # per user and group, how many unseen rows lie below each seen one, in ascending order
        self.register_buffer("keys", owner * self.step + row - rank, persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)

    def draw(self, users: Tensor, group: int) -> tuple[Tensor, Tensor]:
        """Draw one item for each user.

        Parameters
        ----------
        users : torch.Tensor
            User ids, int64 [M].
        group : int
            Which items.

        Returns
        -------
        tuple
            Row within the group, int64 [M], and whether there is an unseen item at all, bool [M];
            where there is none the row is 0.
        """
        owner = users * self.n_groups + group
        first = torch.searchsorted(self.keys, owner * self.step)
        seen = torch.searchsorted(self.keys, (owner + 1) * self.step) - first
        free = self.sizes[group] - seen
        chance = draw_rows(users.shape, users.device, dtype=torch.float64)
        # the r-th unseen row is r plus the seen rows that have at most r unseen ones below them
        rank = (chance * free).long()
        below = torch.searchsorted(self.keys, owner * self.step + rank, right=True) - first
        possible = free > 0
        return torch.where(possible, rank + below, 0), possible
