"""Alignment of two sets of vectors with soft targets, as LLM4CDSR uses it twice."""

import torch
from torch import Tensor

from recbole_edt.model.batch_share import draw_rows, gather_rows, generator, shares
from recbole_edt.model.precision import full_precision


def soft_alignment(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return how badly the pairs of rows of `x` and `y`, both [n, d], match.

    S = X Y^T / tau, T = softmax over rows of tau (X X^T + Y Y^T) / 2; the mean over rows of the
    mean of two cross-entropies, of S with T and of S^T with T^T, whose rows do not sum to one.
    Vectors are not normalised and T carries a gradient [code]. Of a share of a batch the pairs of
    all shares are compared, and the result is the share's part.
    """
    x, y = gather_rows(x.float(), y.float())
    with full_precision(x.device):
        similar = x @ y.T / temperature
        targets = ((x @ x.T + y @ y.T) * (temperature / 2)).softmax(dim=1)
        forth = (targets * similar.log_softmax(dim=1)).sum(1)
        back = (targets.T * similar.T.log_softmax(dim=1)).sum(1)
    return -(forth + back).mean() / (2 * shares())


def one_of_each(items: Tensor, item_domain: Tensor, num_domains: int) -> Tensor:
    """Draw one item of every domain from each row.

    Parameters
    ----------
    items : torch.Tensor
        Item ids, 0 where padded, int64 [B, L].
    item_domain : torch.Tensor
        Domain of each item id, -1 for 0, [n_items].
    num_domains : int
        K.

    Returns
    -------
    torch.Tensor
        int64 [K, B]; 0 where the row has no item of the domain.
    """
    domains, device = item_domain[items], items.device

    def draw(count: int) -> Tensor:
        return torch.rand(count, items.shape[1], device=device, generator=generator(device))

    drawn = []
    for k in range(num_domains):
        order = draw_rows(len(items), draw).masked_fill(domains != k, -1.0)
        first, position = order.max(dim=1, keepdim=True)
        drawn.append((items.gather(1, position) * (first >= 0)).squeeze(1))
    return torch.stack(drawn)
