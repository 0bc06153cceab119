"""The sequence encoder that both phases share."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.errors import UserError
from recbole_edt.model.protocols import KeyedConfig

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu, "relu": F.relu, "swish": F.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
}  # fmt: skip


@dataclass(frozen=True)
class BackboneSettings:
    """Sizes of the encoder; each attribute is the configuration key of that name."""

    hidden_size: int
    n_layers: int
    n_heads: int
    inner_size: int
    hidden_dropout_prob: float
    attn_dropout_prob: float
    hidden_act: str
    layer_norm_eps: float
    initializer_range: float
    state_scale: float

    @classmethod
    def from_config(cls, config: KeyedConfig) -> "BackboneSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            When the heads do not divide the width.
        """
        settings = cls(**{field.name: config[field.name] for field in fields(cls)})
        check_heads(settings.hidden_size, settings.n_heads)
        return settings


def check_heads(hidden_size: int, n_heads: int) -> None:
    """Refuse attention heads that do not divide the width."""
    if hidden_size % n_heads:
        raise UserError(f"n_heads: {n_heads} does not divide hidden_size {hidden_size}")


class Layer(nn.Module):
    """One pre-norm transformer layer with causal self-attention."""

    def __init__(self, settings: BackboneSettings):
        super().__init__()
        width = settings.hidden_size
        self.n_heads, self.attn_dropout = settings.n_heads, settings.attn_dropout_prob
        self.activation = _ACTIVATIONS[settings.hidden_act]
        self.norm_attention = nn.LayerNorm(width, eps=settings.layer_norm_eps)
        self.norm_inner = nn.LayerNorm(width, eps=settings.layer_norm_eps)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, settings.inner_size)
        self.down = nn.Linear(settings.inner_size, width)
        self.dropout = nn.Dropout(settings.hidden_dropout_prob)

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
    settings : BackboneSettings
        Sizes, dropout and initialisation.
    """

    def __init__(self, settings: BackboneSettings):
        super().__init__()
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings.n_layers))
        self.norm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)
        nn.init.constant_(self.norm.weight, settings.state_scale)
        self.dropout = nn.Dropout(settings.hidden_dropout_prob)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=settings.initializer_range)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Encode item vectors [B, L, d] with position vectors [at least L, d] to [B, L, d]."""
        x = self.dropout(x + positions[: x.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
