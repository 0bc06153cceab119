"""The encoder of SASRec's PyTorch port, which C2DSR and Tri-CDR are built on, and its layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from recbole_edt.model.protocols import KeyedConfig

_EPS = 1e-8


class Pointwise(nn.Module):
    """z + W2 ReLU(W1 z + b1) + b2 of full width, SASRec's feed-forward part."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        return z + self.dropout(self.outer(torch.relu(self.dropout(self.inner(z)))))


class SASRecLayer(nn.Module):
    """One layer: attention of which only the queries are normalised, then a feed-forward part.

    q = LN(z); z = q + MHA(q, z, z); z = LN(z); z = feed-forward(z) [code]. Keys and values are not
    normalised, and both residuals start from the normalised values.

    Parameters
    ----------
    width, n_heads : int
        Vector size d and attention heads.
    dropout, attn_dropout : float
        Of the feed-forward part, and of attention weights.
    feed_forward : callable
        Makes that part, which maps [..., d] to [..., d], from width and dropout.
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        dropout: float,
        attn_dropout: float,
        feed_forward: Callable[[int, float], nn.Module] = Pointwise,
    ):
        super().__init__()
        self.norm_query = nn.LayerNorm(width, eps=_EPS)
        self.attention = nn.MultiheadAttention(width, n_heads, attn_dropout, batch_first=True)
        self.norm_inner = nn.LayerNorm(width, eps=_EPS)
        self.feed_forward = feed_forward(width, dropout)

    def forward(self, z: Tensor, later: Tensor | None, padding: Tensor | None = None) -> Tensor:
        """Map [B, L, d] to [B, L, d].

        `later`, bool [L, L], is what a position may not read, and `padding`, bool [B, L], what
        nobody may read.
        """
        query = self.norm_query(z)
        mixed, _ = self.attention(
            query,
            z,
            z,
            key_padding_mask=padding,
            need_weights=False,
            attn_mask=later,
            is_causal=later is not None,
        )
        return self.feed_forward(self.norm_inner(query + mixed))


class SASRecEncoder(nn.Module):
    """Causal encoder with its position vectors.

    Slots that are not `real` hold zero vectors in front of every layer. As in the originals they
    are not masked out of the attention: a zero vector to the left takes its share [code].

    Parameters
    ----------
    config : EDTConfig
        Vector size d, longest sequence T, layers, attention heads and rates of dropout.
    position_std : float
        Standard deviation of the initial position vectors.
    """

    def __init__(self, config: KeyedConfig, position_std: float = 1.0):
        super().__init__()
        width, dropout = config["hidden_size"], config["hidden_dropout_prob"]
        self.positions = nn.Embedding(config["MAX_ITEM_LIST_LENGTH"], width)
        nn.init.normal_(self.positions.weight, std=position_std)
        self.layers = nn.ModuleList(
            SASRecLayer(width, config["n_heads"], dropout, config["attn_dropout_prob"])
            for _ in range(config["n_layers"])
        )
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Encode sequences.

        Parameters
        ----------
        tokens : torch.Tensor
            Scaled item vectors, [B, L, d].
        real : torch.Tensor
            Which slots hold an item, bool [B, L]; positions count these from the oldest on.

        Returns
        -------
        torch.Tensor
            [B, L, d]; slots that are not real hold the bias of the last normalisation.
        """
        length = tokens.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        mask = real.unsqueeze(2)
        position = (real.cumsum(1) - 1).clamp(min=0)
        z = self.dropout(tokens + self.positions(position)) * mask
        for layer in self.layers:
            z = layer(z, later) * mask
        return self.norm(z)
