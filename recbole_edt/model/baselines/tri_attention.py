"""Tri-CDR's attention: a slot of the target domain looks at a sequence beside the mixed one."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_INNER = (80, 40)  # [code]
_MOST_PAIRS = 1 << 19  # beyond it hidden layers (160 MiB each) are recomputed chunk by chunk


class TripleAttention(nn.Module):
    """Weighted sum of a sequence's states; one network serves all sequences of a target domain.

    a_t = MLP([H_t; q; H_t * q; q - H_t; psi]), 5d -> 80 -> 40 -> 1 with PReLU after the first two,
    and the sum of H_t weighted by the softmax of a_t over the visible slots t. An empty set of
    visible slots gives a zero vector [ours]; the release then averages over all slots, later ones
    included [code].

    Parameters
    ----------
    width : int
        Vector size d.
    """

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(5 * width, _INNER[0])
        self.second = nn.Linear(*_INNER)
        self.last = nn.Linear(_INNER[1], 1)
        self.bend_first, self.bend_second = nn.PReLU(), nn.PReLU()

    def forward(
        self, query: Tensor, context: Tensor, owner: Tensor, states: Tensor, seen: Tensor
    ) -> Tensor:
        """Attend from M slots.

        Parameters
        ----------
        query, context : torch.Tensor
            q and psi of each slot, [M, d].
        owner : torch.Tensor
            Which sequence each slot looks at, int64 [M].
        states : torch.Tensor
            H, [B, L, d].
        seen : torch.Tensor
            How many leading slots of H are visible, int64 [M].

        Returns
        -------
        torch.Tensor
            [M, d].
        """
        if not len(query) or not states.shape[1]:
            return torch.zeros_like(query)
        # the first layer is linear: what depends on a single slot is computed once per slot
        of_state, of_query, of_product, of_difference, of_context = self.first.weight.chunk(5, 1)
        slots = states @ (of_state - of_difference).T
        queries = query @ (of_query + of_difference).T + context @ of_context.T + self.first.bias
        arguments = (states, slots, of_product)
        rows = max(_MOST_PAIRS // states.shape[1], 1)
        if len(query) <= rows:
            return self._attend(query, queries, owner, seen, *arguments)
        parts = zip(*(t.split(rows) for t in (query, queries, owner, seen)), strict=True)
        return torch.cat(
            [checkpoint(self._attend, *part, *arguments, use_reentrant=False) for part in parts]
        )

    def _attend(
        self,
        query: Tensor,
        queries: Tensor,
        owner: Tensor,
        seen: Tensor,
        states: Tensor,
        slots: Tensor,
        of_product: Tensor,
    ) -> Tensor:
        length = states.shape[1]
        visible = torch.arange(length, device=seen.device) < seen.unsqueeze(1)
        row, slot = visible.nonzero(as_tuple=True)  # the network sees visible pairs only
        at = owner[row] * length + slot
        # embedding() looks rows up as indexing does; its gradient is the quicker one
        product = F.embedding(at, states.flatten(0, 1)) * F.embedding(row, query)
        hidden = F.embedding(at, slots.flatten(0, 1)) + F.embedding(row, queries)
        hidden = self.bend_first(hidden + product @ of_product.T)
        score = self.last(self.bend_second(self.second(hidden))).squeeze(1)
        scores = score.new_full(visible.shape, -torch.inf).index_put((row, slot), score)
        scores = scores.masked_fill(seen.unsqueeze(1) == 0, 0.0)  # no softmax over nothing
        weights = scores.softmax(1) * visible
        of_owner = F.embedding(owner, states.flatten(1)).view(len(owner), length, -1)
        return torch.bmm(weights.unsqueeze(1), of_owner).squeeze(1)
