"""The sequence of one domain inside mixed sequences, without a loop over positions."""

import torch
from torch import Tensor


class DomainRows:
    """Where the items of one domain stand in a batch of mixed sequences.

    Parameters
    ----------
    inside : torch.Tensor
        Where the item is of the domain, bool [B, L].

    Attributes
    ----------
    seen : torch.Tensor
        Items of the domain up to and including each position, int64 [B, L].
    length : int
        Longest domain sequence of the batch, 0 when there is none.
    """

    def __init__(self, inside: Tensor):
        self.inside = inside
        self.seen = inside.cumsum(1)
        self.length = int(self.seen[:, -1].max()) if inside.numel() else 0
        self._user, self._position = inside.nonzero(as_tuple=True)

    def pack(self, values: Tensor) -> Tensor:
        """Move the domain's values [B, L, ...] to the left: [B, length, ...], zero beyond."""
        packed = values.new_zeros(len(values), self.length, *values.shape[2:])
        user, position = self._user, self._position
        packed[user, self.seen[user, position] - 1] = values[user, position]
        return packed

    def unpack(self, packed: Tensor) -> Tensor:
        """Give each mixed position the value of the domain's last item up to it.

        Parameters
        ----------
        packed : torch.Tensor
            One vector per item of the domain, [B, length, d].

        Returns
        -------
        torch.Tensor
            [B, L, d]; zero before the domain's first item.
        """
        if self.length == 0:
            return packed.new_zeros(*self.seen.shape, packed.shape[2])
        last = (self.seen - 1).clamp(min=0).unsqueeze(2).expand(-1, -1, packed.shape[2])
        return packed.gather(1, last) * (self.seen > 0).unsqueeze(2)


def last_seen(inside: Tensor) -> Tensor:
    """Return the last position up to each one where `inside` holds, int64 [B, L]; -1 if none."""
    position = torch.arange(inside.shape[1], device=inside.device).expand_as(inside)
    return torch.where(inside, position, -1).cummax(1).values
