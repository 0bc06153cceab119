"""Which item followed which in the training sequences, and averaging over that graph."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from recbole_edt.model.precision import full_precision


def successor_graph(
    users: np.ndarray,
    items: np.ndarray,
    n_items: int,
    groups: np.ndarray | None = None,
    drop_last: bool = False,
) -> Tensor:
    """Return the row-normalised counts of transitions between neighbours of a sequence.

    Row i averages over the items that came right after item i; a row without any is zero.

    Parameters
    ----------
    users, items : numpy.ndarray
        Sequences one after another, int [n].
    n_items : int
        Number of item ids.
    groups : numpy.ndarray, optional
        Domain of each item id, [n_items]: neighbours are then neighbours among a user's items of
        one domain.
    drop_last : bool
        Leave out the last item of each user, with the transitions into it.

    Returns
    -------
    torch.Tensor
        Sparse (COO, coalesced) float [n_items, n_items].
    """
    if drop_last:
        kept = np.r_[users[1:] == users[:-1], np.zeros(min(len(users), 1), dtype=bool)]
        users, items = users[kept], items[kept]
    same = users[1:] == users[:-1]
    if groups is not None:
        order = np.lexsort((groups[items], users))  # stable: time order stays within a domain
        users, items = users[order], items[order]
        same = (users[1:] == users[:-1]) & (groups[items[1:]] == groups[items[:-1]])
    pairs = items[:-1][same].astype(np.int64) * n_items + items[1:][same]
    pairs, counts = np.unique(pairs, return_counts=True)
    start, end = pairs // n_items, pairs % n_items
    out = np.bincount(start, counts, minlength=n_items)
    weights = torch.from_numpy((counts / out[start]).astype(np.float32))
    index = torch.from_numpy(np.stack([start, end]))
    shape = (n_items, n_items)
    return torch.sparse_coo_tensor(index, weights, shape, check_invariants=True).coalesce()


class GraphConvolution(nn.Module):
    """Average of item vectors and of their neighbourhoods' averages, layer by layer.

    E_l = A drop(E_{l-1}) + b_l; the result is the mean of E_0 .. E_n [code]. No weights beside
    the biases, of which each group of items has its own.

    Parameters
    ----------
    graph : torch.Tensor
        A, sparse [n_items, n_items]; kept outside the checkpoint.
    group : torch.Tensor
        Group of each item, int64 [n_items].
    width, n_layers : int
        Vector size d and number of layers n.
    dropout : float
        Of the vectors that are averaged.
    """

    graph: Tensor
    group: Tensor

    def __init__(self, graph: Tensor, group: Tensor, width: int, n_layers: int, dropout: float):
        super().__init__()
        self.register_buffer("graph", graph, persistent=False)
        self.register_buffer("group", group, persistent=False)
        self.bias = nn.Parameter(torch.empty(n_layers, int(group.max()) + 1, width))
        nn.init.uniform_(self.bias, -1 / math.sqrt(width), 1 / math.sqrt(width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map all item vectors [n_items, d] to [n_items, d]."""
        layer, total = vectors, vectors
        for bias in self.bias:
            with full_precision(vectors.device):  # torch has no sparse product in bfloat16
                layer = torch.sparse.mm(self.graph, self.dropout(layer)) + bias[self.group]
            total = total + layer
        return total / (len(self.bias) + 1)
