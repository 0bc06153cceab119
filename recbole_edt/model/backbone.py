"""The sequence encoder that both phases share."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu, "relu": F.relu, "swish": F.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
}  # fmt: skip


class Layer(nn.Module):
    """One pre-norm transformer layer with causal self-attention."""

    def __init__(
        self,
        hidden_size: int,
        n_heads: int,
        inner_size: int,
        dropout: float,
        attn_dropout: float,
        activation: str,
        eps: float,
    ):
        super().__init__()
        self.n_heads, self.attn_dropout = n_heads, attn_dropout
        self.activation = _ACTIVATIONS[activation]
        self.norm_attention = nn.LayerNorm(hidden_size, eps=eps)
        self.norm_inner = nn.LayerNorm(hidden_size, eps=eps)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.up = nn.Linear(hidden_size, inner_size)
        self.down = nn.Linear(inner_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, L, d] to [B, L, d]; position t reads positions up to t only."""
        batch, length, width = x.shape
        heads = self.query_key_value(self.norm_attention(x))
        query, key, value = heads.view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=self.attn_dropout * self.training
        )
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        inner = self.dropout(self.activation(self.up(self.norm_inner(x))))
        return x + self.dropout(self.down(inner))


class Backbone(nn.Module):
    """Causal transformer over right-padded sequences, position vectors given by the caller.

    Padding needs no mask: with causal attention the positions to the right of a sequence are
    never read. (The released code builds a causal mask and does not use it, so that every
    training position sees its own label [code].)

    Parameters
    ----------
    hidden_size, n_layers, n_heads, inner_size : int
        Usual sizes; `n_heads` divides `hidden_size`.
    dropout, attn_dropout : float
        Dropout of the input and the layers, and of the attention weights.
    activation : str
        Activation of the feed-forward layers.
    eps, std : float
        Epsilon of the layer norms; standard deviation of the initial weights.
    """

    def __init__(
        self,
        hidden_size: int,
        n_layers: int,
        n_heads: int,
        inner_size: int,
        dropout: float,
        attn_dropout: float,
        activation: str,
        eps: float,
        std: float,
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(hidden_size, n_heads, inner_size, dropout, attn_dropout, activation, eps)
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Encode item vectors [B, L, d] with position vectors [at least L, d] to [B, L, d]."""
        x = self.dropout(x + positions[: x.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
