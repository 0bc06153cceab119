"""Why an item is recommended: the nearest item of the history, the domain's share of the score."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from recbole_edt.data.histories import Histories
from recbole_edt.data.indexing import ranges
from recbole_edt.errors import UserError
from recbole_edt.evaluation.scoring import histories_of
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.model.similarity import unit_vectors
from recbole_edt.recommend.scoring import NextTargets, TopItems, batch_size
from recbole_edt.runs import LoadedRun

REASONS = ("nearest_item", "nearest_title")
"""Columns of every model."""

SHARE = "thread_share"
"""Column of models whose scores have a part of the item's domain."""

_MOST_VALUES = 1 << 24  # of vectors at a time: 64 MiB in float32


def item_directions(run: LoadedRun) -> Tensor:
    """Return what items are compared by, at length one, float32 [item_num, d].

    The model's item representations; the LLM vectors of a model without any.

    Raises
    ------
    UserError
        When there are neither.
    """
    vectors = capabilities_of(run.model).item_representations()
    if vectors is None and run.expert is not None:
        vectors = run.expert.unit
    if vectors is None:
        raise UserError(
            f"reasons: {run.record.model} has no vectors of items to compare; expected a model "
            "that has, or a run with content_expert"
        )
    return unit_vectors(vectors.detach()[: run.dataset.item_num])


def nearest_of_history(unit: Tensor, given: Histories, top: TopItems) -> np.ndarray:
    """Return the item of the history that has the highest cosine with each recommended item.

    Of equally near ones the latest.

    Parameters
    ----------
    unit : torch.Tensor
        Vectors of all items at length one, [item_num, d].
    given : Histories
        The histories.
    top : TopItems
        What is recommended, n items.

    Returns
    -------
    numpy.ndarray
        Item numbers, int64 [n].
    """
    lengths = np.diff(given.starts)[top.user_index]
    nearest = np.empty(len(top.items), dtype=np.int64)
    for some in _pieces(lengths, max(_MOST_VALUES // unit.shape[1], 1)):
        owner, rows = ranges(given.starts[top.user_index[some]], lengths[some])
        items = given.items[rows]
        one, other = (torch.from_numpy(n).to(unit.device) for n in (top.items[some][owner], items))
        cosines = (unit[one] * unit[other]).sum(1).cpu().numpy()
        first = np.cumsum(lengths[some]) - lengths[some]
        best = np.flatnonzero(cosines >= np.maximum.reduceat(cosines, first)[owner])
        found = np.empty(len(first), dtype=np.int64)
        found[owner[best]] = items[best]  # of several the last one stays
        nearest[some] = found
    return nearest


def _pieces(lengths: np.ndarray, most: int) -> Iterator[slice]:
    """Yield slices of rows whose lengths add up to about `most`."""
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(lengths):
        before = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, before + most, side="right")), begin + 1)
        yield slice(begin, end)
        begin = end


@torch.no_grad()
def thread_shares(run: LoadedRun, targets: NextTargets, top: TopItems) -> np.ndarray:
    """Return |<h'^k, e>| / (|<h, e>| + |<h'^k, e>|) of each score, float32 [n].

    h is the state of the shared thread, h'^k that of the thread of the item's domain; biases and
    the content expert are no part of it. For a model whose scores are split (`SplitsScores`).
    """
    capabilities, device = capabilities_of(run.model), run.config["device"]
    size, shares = batch_size(run), []
    first, last = top.user_index[0], top.user_index[-1] + 1
    for begin in range(first, last, size):
        at = np.arange(begin, min(begin + size, last))
        some = slice(*np.searchsorted(top.user_index, (at[0], at[-1] + 1)))
        rows, items = (
            torch.from_numpy(n[some]).to(device) for n in (top.user_index - begin, top.items)
        )
        sizes = capabilities.domain_parts(histories_of(targets, at), rows, items).abs()
        total = sizes.sum(1).clamp(min=torch.finfo(sizes.dtype).tiny)
        shares.append((sizes[:, 1] / total).float().cpu().numpy())
    return np.concatenate(shares)
