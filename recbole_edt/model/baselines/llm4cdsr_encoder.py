"""The sequence encoder of LLM4CDSR: SASRec's block, with the feed-forward part of its release."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.model.baselines.sasrec_encoder import Pointwise, SASRecLayer
from recbole_edt.model.protocols import KeyedConfig

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
    config : EDTConfig
        Vector size d, longest sequence T, layers, attention heads and dropout, ``feed_forward``
        (``bottleneck`` or ``pointwise``), and whether a position reads only what comes before it
        (``causal``).
    """

    def __init__(self, config: KeyedConfig):
        super().__init__()
        width, dropout = config["hidden_size"], config["dropout_prob"]
        feed_forward = _FEED_FORWARD[config["feed_forward"]]
        self.causal = config["causal"]
        # row 0 is the release's padding
        self.positions = nn.Embedding(config["MAX_ITEM_LIST_LENGTH"] + 1, width)
        self.layers = nn.ModuleList(
            SASRecLayer(width, config["n_heads"], dropout, dropout, feed_forward)
            for _ in range(config["n_layers"])
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
