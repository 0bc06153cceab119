"""The item numbers of an export: padding is 0, then the items domain by domain."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Numbering:
    """Items renumbered so that the candidates of a domain are neighbours in every table.

    The numbers are the same for every export of a dataset.

    Attributes
    ----------
    items : torch.Tensor
        The dataset's item id of each number, int64 [N]; number 0 is the padding item.
    domains : torch.Tensor
        Domain of each number, int64 [N]; -1 for the padding item.
    domain : int or None
        The only domain whose items are candidates; None: all items are.

    Examples
    --------
    Items 1 and 3 are of domain 1, item 2 is of domain 0:

    >>> numbering = Numbering.of(torch.tensor([-1, 1, 0, 1]))
    >>> numbering.items.tolist(), numbering.domains.tolist()
    ([0, 2, 1, 3], [-1, 0, 1, 1])
    >>> numbering.of_items.tolist()
    [0, 2, 1, 3]
    >>> numbering.slices
    {0: slice(1, 2, None), 1: slice(2, 4, None)}
    """

    items: Tensor
    domains: Tensor
    domain: int | None

    @classmethod
    def of(cls, item_domain: Tensor, domain: int | None = None) -> "Numbering":
        """Return the numbering of items of some domains, int64 [N], -1 for the padding item."""
        items = item_domain.argsort(stable=True)
        return cls(items, item_domain[items], domain)

    @cached_property
    def of_items(self) -> Tensor:
        """The number of each of the dataset's item ids, int64 [N]."""
        return torch.empty_like(self.items).scatter_(
            0, self.items, torch.arange(len(self.items), device=self.items.device)
        )

    @cached_property
    def slices(self) -> dict[int, slice]:
        """The numbers of each domain whose items are candidates."""
        count = int(self.domains.max()) + 1
        ends = torch.bincount(self.domains[1:], minlength=count).cumsum(0) + 1
        starts = [1, *ends.tolist()]
        wanted = range(count) if self.domain is None else [self.domain]
        return {k: slice(starts[k], starts[k + 1]) for k in wanted}

    @property
    def candidates(self) -> slice:
        """The numbers of all candidates."""
        parts = list(self.slices.values())
        return slice(parts[0].start, parts[-1].stop)
