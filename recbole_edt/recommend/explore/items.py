"""The items of a page: which, their vectors, the nearest of each and a map in two dimensions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn

from recbole_edt.artefacts.inputs import ArtefactInputs
from recbole_edt.artefacts.store import EMBEDDINGS
from recbole_edt.model.smoothing import nearest_items
from recbole_edt.runs import LoadedRun

_MOST_WITHOUT_CHOICE = 20_000
"""Items of a dataset up to which a page has all of them."""
_NEAREST = 10


def items_of_page(item_num: int, mentioned: Sequence[np.ndarray]) -> np.ndarray:
    """Return the numbers of the page's items, rising and without the padding item's 0.

    All of a dataset's, or of a larger one those that the page mentions.

    Parameters
    ----------
    item_num : int
        Items of the dataset, with the padding item.
    mentioned : sequence of numpy.ndarray
        Item numbers of any shape.
    """
    if item_num - 1 <= _MOST_WITHOUT_CHOICE:
        return np.arange(1, item_num)
    numbers = np.unique(np.concatenate([np.unique(some) for some in mentioned]))
    return numbers[numbers > 0]


class ItemVectors(NamedTuple):
    """Vectors of the page's items and what they are.

    Attributes
    ----------
    values : torch.Tensor
        float32 [I, m]; zero for an item without a vector.
    source : str
        Where they come from, for a reader.
    """

    values: torch.Tensor
    source: str


def item_vectors(runs: Sequence[LoadedRun], items: np.ndarray) -> ItemVectors | None:
    """Return LLM vectors, the embedding table of a run's model where there are none, or None.

    Parameters
    ----------
    runs : sequence of LoadedRun
        The first one that has vectors gives them.
    items : numpy.ndarray
        int64 [I], item numbers of the dataset.
    """
    for run in runs:
        inputs = run.dataset.text_inputs
        found = run.artefacts
        if found is None and isinstance(inputs, ArtefactInputs):
            found = inputs.find()  # a model that reads none may still have them beside it
        if found is not None and found.has(EMBEDDINGS):
            vectors = found.item_vectors(run.dataset.item_tokens[items - 1])
            source = f"item vectors of {run.config['encoder']}"
            return ItemVectors(torch.from_numpy(vectors), source)
    for run in runs:
        table = _embedding_table(run.model, run.dataset.item_num)
        if table is not None:
            return ItemVectors(table[items], f"item embeddings of {run.record.model}")
    return None


def _embedding_table(model: Any, item_num: int) -> torch.Tensor | None:
    """Return the first embedding table of items of any RecBole model, float32 on the CPU."""
    for name, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and "item" in name
        if is_table and module.num_embeddings == item_num:
            return module.weight.detach().float().cpu()
    return None


def nearest_on_page(vectors: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest items of each of the page's items, of any domain, by cosine.

    Parameters
    ----------
    vectors : torch.Tensor
        float32 [I, m].

    Returns
    -------
    tuple
        Index on the page plus one, int64 [I, n], 0 where there is none, and the cosine in per
        cent, at least 0, int64 [I, n].
    """
    count = min(_NEAREST, max(len(vectors) - 1, 1))
    every = torch.ones(len(vectors), dtype=torch.bool)
    near, cosines = nearest_items(vectors, every, every, [torch.arange(len(vectors))], count)
    known = cosines.isfinite()
    per_cent = torch.where(known, (100 * cosines).round().clamp(min=0), 0.0)
    return ((near + 1) * known).numpy(), per_cent.long().numpy()


def map_of(vectors: torch.Tensor, seed: int) -> np.ndarray:
    """Return the items' first two principal components, float32 [I, 2]; NaN without a vector.

    Parameters
    ----------
    vectors : torch.Tensor
        float32 [I, m].
    seed : int
        Of the randomised solver.
    """
    points = np.full((len(vectors), 2), np.nan, np.float32)
    known = vectors.any(1).numpy()
    if min(known.sum(), vectors.shape[1]) >= 2:
        points[known] = PCA(n_components=2, random_state=seed).fit_transform(vectors.numpy()[known])
    return points
