"""Next-item losses over the candidates of the target's domain, or over all items.

All take the states of M labelled positions and the items that compete with each label, and
return the sum over positions, so that callers decide what to average over.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recbole_edt.model.batch_share import draw_rows

_MOST_LOGITS = 1 << 25  # 128 MiB in float32; beyond it logits are recomputed chunk by chunk


def cross_entropy(states: Tensor, items: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Full softmax cross-entropy.

    Parameters
    ----------
    states : torch.Tensor
        [M, d].
    items : torch.Tensor
        Vectors of the n candidates, [n, d].
    bias : torch.Tensor or None
        Added to the candidates' scores, [n].
    labels : torch.Tensor
        Row of each label among the candidates, int64 [M].

    Returns
    -------
    torch.Tensor
        Sum over the M positions.
    """
    if states.shape[0] * items.shape[0] <= _MOST_LOGITS:
        return _cross_entropy(states, items, bias, labels)
    rows = max(_MOST_LOGITS // items.shape[0], 1)
    parts = [
        checkpoint(_cross_entropy, some, items, bias, its_labels, use_reentrant=False)
        for some, its_labels in zip(states.split(rows), labels.split(rows), strict=True)
    ]
    return torch.stack(parts).sum()


def _cross_entropy(states: Tensor, items: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    if bias is None:
        logits = states @ items.T
    elif torch.is_autocast_enabled(states.device.type):  # the biases stay float32
        logits = states @ items.T + bias
    else:
        logits = torch.addmm(bias, states, items.T)
    return F.cross_entropy(logits.float(), labels, reduction="sum")


def sampled_softmax(
    positive: Tensor, negatives: Tensor, is_label: Tensor, num_candidates: int
) -> Tensor:
    """Softmax cross-entropy against negatives that the batch shares, drawn uniformly.

    The negatives' scores are shifted by the log of how many candidates each represents, so
    that the loss estimates the full cross-entropy; a negative that is the label itself is
    left out.

    Parameters
    ----------
    positive : torch.Tensor
        Scores of the labels, [M].
    negatives : torch.Tensor
        Scores of the shared negatives, [M, n].
    is_label : torch.Tensor
        Where a negative is the position's own label, bool [M, n].
    num_candidates : int
        Items that the negatives are drawn from.
    """
    log_weight = math.log(max(num_candidates - 1, 1) / negatives.shape[1])
    others = (negatives.float() + log_weight).masked_fill(is_label, -torch.inf)
    logits = torch.cat([positive.unsqueeze(1), others], dim=1)
    return (logits.logsumexp(1) - positive).sum()


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of one positive and one negative score per position, each [M]."""
    return F.softplus(-positive).sum() + F.softplus(negative).sum()


def draw_others(labels: Tensor, num_candidates: int) -> Tensor:
    """Draw for each label one other of `num_candidates` items uniformly; both are rows, int64 [M].

    A set of one item has no other: the label itself is returned.
    """
    if num_candidates == 1:
        return labels
    drawn = draw_rows(labels.shape, labels.device, below=num_candidates - 1)
    return drawn + (drawn >= labels)
