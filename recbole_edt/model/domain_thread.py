"""The domain-specific thread: the sequence of one domain through the frozen backbone."""

import torch
from torch import Tensor, nn

from recbole_edt.model.backbone import Backbone
from recbole_edt.model.domain_rows import DomainRows
from recbole_edt.model.protocols import KeyedConfig


class DomainThread(nn.Module):
    """Position vectors and bottleneck adapter of one domain.

    h'_t = s h_t + U ReLU(V h_t), where h is the frozen backbone's state on the items of this
    domain only [code]. U starts at zero; with ``learned`` residual s does too, so that the
    thread starts by changing nothing [ours]; with ``full`` s stays 1 [code].

    Parameters
    ----------
    config : EDTConfig
        ``hidden_size`` d, ``adapter_size`` r, ``MAX_ITEM_LIST_LENGTH`` T, ``adapter_dropout``
        inside the adapter, and ``adapter_residual``: ``learned`` or ``full``.
    """

    weight: Tensor

    def __init__(self, config: KeyedConfig):
        super().__init__()
        width, bottleneck = config["hidden_size"], config["adapter_size"]
        self.positions = nn.Parameter(torch.zeros(config["MAX_ITEM_LIST_LENGTH"], width))
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.dropout = nn.Dropout(config["adapter_dropout"])
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        if config["adapter_residual"] == "learned":
            self.weight = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("weight", torch.ones(()), persistent=False)

    def forward(self, items: Tensor, inside: Tensor, backbone: Backbone) -> Tensor:
        """Return the thread's state at every position of the mixed sequences.

        Parameters
        ----------
        items : torch.Tensor
            Vectors of the mixed sequences, [B, L, d].
        inside : torch.Tensor
            Where the item is of this domain, bool [B, L].
        backbone : Backbone
            The shared, frozen encoder.

        Returns
        -------
        torch.Tensor
            [B, L, d]; position t holds the state after the domain's last item up to t, zero
            where there is none.
        """
        rows = DomainRows(inside)
        if rows.length == 0:
            return torch.zeros_like(items)
        return rows.unpack(self.adapt(backbone(rows.pack(items), self.positions)))

    def adapt(self, hidden: Tensor) -> Tensor:
        """Map backbone states h [..., d] to s h + U ReLU(V h)."""
        return self.weight * hidden + self.up(self.dropout(torch.relu(self.down(hidden))))
