"""The sequence encoder of LLM4CDSR: SASRec's block, with the feed-forward part of its release."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.model.baselines.sasrec_encoder import Pointwise, SASRecLayer

_EPS, _INNER_EPS = 1e-8, 1e-12


class Bottleneck(nn.Module):
    """LN(z + W2 GELU(W1 z + b1) + b2) of half the width, as in the release [code]."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.inner = nn.Linear(width, width // 2)
        self.outer = nn.Linear(width // 2, width)
        self.norm = nn.LayerNorm(width, eps=_INNER_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        inner = F.gelu(self.dropout(self.inner(z)))
        return self.norm(z + self.dropout(self.outer(inner)))


_FEED_FORWARD: dict[str, type[Bottleneck] | type[Pointwise]] = {
    "bottleneck": Bottleneck,
    "pointwise": Pointwise,
}


class LLM4CDSREncoder(nn.Module):
    """Encoder of right-padded sequences, with its position vectors.

    Parameters
    ----------
    width, max_length, n_layers, n_heads : int
        Vector size d, longest sequence T, layers and attention heads.
    dropout : float
        Of vectors, layers and attention weights.
    feed_forward : str
        ``bottleneck`` or ``pointwise``.
    causal : bool
        Whether a position reads only what comes before it.
    """

    def __init__(
        self,
        width: int,
        max_length: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        feed_forward: str,
        causal: bool,
    ):
        super().__init__()
        self.causal = causal
        self.positions = nn.Embedding(max_length + 1, width)  # row 0 is the release's padding
        self.layers = nn.ModuleList(
            SASRecLayer(width, n_heads, dropout, dropout, _FEED_FORWARD[feed_forward])
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Encode scaled item vectors [B, L, d] of sequences of some lengths [B] to [B, L, d]."""
        size = tokens.shape[1]
        position = torch.arange(size, device=tokens.device)
        later, padding = None, None
        if self.causal:
            later = torch.ones(size, size, dtype=torch.bool, device=tokens.device).triu(1)
        else:
            # an empty sequence keeps its first slot: a softmax over nothing is not a number
            padding = position >= lengths.clamp(min=1).unsqueeze(1)
        z = self.dropout(tokens + self.positions(position + 1))
        for layer in self.layers:
            z = layer(z, later, padding)
        return self.norm(z)
