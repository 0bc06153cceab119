"""Parts of ABXI: SwiGLU, low-rank maps, attention that knows of the release's empty slots."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn


class SwiGLU(nn.Module):
    """W3 (silu(W2 u) * W1 u), without biases [code]."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.value = nn.Linear(width, inner, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        return self.out(F.silu(self.gate(u)) * self.value(u))


class LowRank(nn.Module):
    """A B u of a small rank; B starts at zero, so that the map starts by changing nothing."""

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        return self.up(self.down(u))


class RowAttention(nn.Module):
    """Causal self-attention inside packed rows; projections see their items only.

    The release's rows are padded on the left and hold empty slots between their items; none of
    them is masked, so that each takes attention as a zero vector: key and value are the
    projection's biases. All of them look alike, hence one more key whose logit is raised by the
    log of their number is exactly the same, without the slots themselves.
    """

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, real: Tensor, empty: Tensor | None, wanted: Tensor) -> Tensor:
        """Attend.

        Parameters
        ----------
        tokens : torch.Tensor
            Vectors of the items, row by row, [T, d].
        real : torch.Tensor
            Which slots of the packed rows hold them, bool [R, L], T of them true.
        empty : torch.Tensor or None
            Empty slots of the release's row in front of each slot, int64 [R, L]; None: they take
            no attention.
        wanted : torch.Tensor
            Which of the `real` slots to return, bool [R, L].

        Returns
        -------
        torch.Tensor
            [wanted slots, d], row by row.
        """
        rows, length = real.shape
        projected = self.query_key_value(tokens)
        padded = projected.new_zeros(rows, length, projected.shape[1])
        padded[real] = projected
        heads = padded.view(rows, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        if empty is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            _, empty_key, empty_value = self.query_key_value.bias.view(3, 1, self.n_heads, 1, -1)
            key = torch.cat([empty_key.expand(rows, -1, -1, -1), key], dim=2)
            value = torch.cat([empty_value.expand(rows, -1, -1, -1), value], dim=2)
            later = torch.full((length, length), -torch.inf, device=real.device).triu(1)
            number = empty.to(tokens.dtype).log().unsqueeze(2)
            mask = torch.cat([number, later.expand(rows, -1, -1)], dim=2).unsqueeze(1)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(rows, length, -1)[wanted])
