"""Smoothed targets: a label shares its weight with the items nearest to it by LLM vectors [ours].

The target distribution of a label l is 1 - eps at l and eps w_j at its neighbours n_j, the k items
of l's domain with training interactions that are nearest to it; w is the softmax of their cosines
divided by a temperature. The cross-entropy with it is

    log sum_i exp(s_i) - (1 - eps) s_l - eps sum_j w_j s_nj
        = CE(l) + eps (s_l - sum_j w_j s_nj),

so that a batch needs a table of k neighbours per item and never a target for every pair of label
and candidate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.config.schema import value_in_phase
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.model.similarity import cosine_blocks


class SmoothingSettings(NamedTuple):
    """The keys ``target_smoothing*`` of one phase: eps, the temperature, and k."""

    share: float
    temperature: float
    neighbours: int

    @classmethod
    def from_config(cls, config: KeyedConfig, phase: str) -> "SmoothingSettings":
        """Read the keys of a phase."""
        keys = ("", "_temperature", "_neighbours")
        share, *rest = (value_in_phase(config, phase, f"target_smoothing{key}") for key in keys)
        return cls(share or 0.0, *rest)


class TargetSmoothing(nn.Module):
    """What smoothing changes in the loss of a label; it has no parameters.

    Parameters
    ----------
    neighbours, cosines : torch.Tensor
        As `nearest_items` returns them.
    """

    neighbours: Tensor
    cosines: Tensor
    weights: Tensor

    def __init__(self, neighbours: Tensor, cosines: Tensor):
        super().__init__()
        self.share = 0.0
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("weights", torch.zeros_like(cosines), persistent=False)

    def use(self, settings: SmoothingSettings) -> None:
        """Compute the weights of the neighbours; those of an item without any are all 0."""
        self.share = settings.share
        logits = self.cosines / settings.temperature
        logits[:, settings.neighbours :] = -torch.inf
        self.weights = logits.softmax(dim=1).nan_to_num(0.0)

    def correction(
        self, states: Tensor, labels: Tensor, vectors: Tensor, bias: Tensor | None
    ) -> Tensor:
        """Return eps times the sum over labels of s_l - sum_j w_j s_nj.

        Parameters
        ----------
        states : torch.Tensor
            The state at each label, [P, d].
        labels : torch.Tensor
            Item ids, int64 [P].
        vectors, bias : torch.Tensor
            Of all items, [n_items, d] and [n_items] (or None).
        """
        distinct, index = labels.unique(return_inverse=True)
        near = self.neighbours[distinct]
        weights = self.weights[distinct].to(vectors.dtype)
        items = torch.cat([distinct.unsqueeze(1), near], dim=1)
        shares = torch.cat([weights.sum(1, keepdim=True), -weights], dim=1)
        # of each distinct label, the vector and bias whose score is s_l - sum_j w_j s_nj
        vector = F.embedding_bag(items, vectors, per_sample_weights=shares, mode="sum")
        differences = (states * F.embedding(index, vector)).sum()
        if bias is not None:
            differences = differences + ((bias[items] * shares).sum(1)[index]).sum()
        return self.share * differences


def nearest_items(
    vectors: Tensor, labels: Tensor, known: Tensor, groups: Sequence[Tensor], count: int
) -> tuple[Tensor, Tensor]:
    """Return the nearest known items of its own domain of every label, itself left out.

    Parameters
    ----------
    vectors : torch.Tensor
        LLM vectors of all items, [N, m]. An item whose vector is zero has no neighbours and is
        nobody's.
    labels : torch.Tensor
        Which items may be labels, bool [N]; others get no neighbours.
    known : torch.Tensor
        Which items may be neighbours, bool [N].
    groups : sequence of torch.Tensor
        Item ids of each domain, K times int64 [n_k].
    count : int
        Most neighbours of an item.

    Returns
    -------
    tuple
        Item ids, the nearest first, int64 [N, count], 0 where a domain has not so many, and
        cosines, float32 [N, count], minus infinity there.
    """
    near = torch.zeros(len(vectors), count, dtype=torch.int64)
    cosines = torch.full((len(vectors), count), -torch.inf)
    has_vector = vectors.any(1)
    for group in groups:
        of_label, others = (group[some[group] & has_vector[group]] for some in (labels, known))
        width = min(count, len(others))
        if not width:
            continue
        for some, similar in cosine_blocks(vectors, of_label, others):
            similar.masked_fill_(some.unsqueeze(1) == others, -torch.inf)
            best = similar.topk(width, dim=1)
            cosines[some, :width] = best.values
            near[some, :width] = others[best.indices] * best.values.isfinite()
    return near, cosines
