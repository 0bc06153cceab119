"""Random batches of rows of like length, so that little of a batch is padding."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

# Rows of one chunk are sorted by length before they are cut into batches; chunks of many
# batches keep the order random.
_BATCHES_PER_CHUNK = 16


def batches_of_like_length(
    lengths: np.ndarray, size: int, generator: torch.Generator
) -> Iterator[np.ndarray]:
    """Yield every row once, in batches of at most `size` rows of similar length.

    Parameters
    ----------
    lengths : numpy.ndarray
        Length of each row, [n].
    size : int
        Rows per batch.
    generator : torch.Generator
        Draws which rows share a batch and the order of the batches.

    Examples
    --------
    >>> seeded = torch.Generator().manual_seed(0)
    >>> batches = batches_of_like_length(np.array([9, 1, 8, 2]), 2, seeded)
    >>> sorted(sorted(rows.tolist()) for rows in batches)
    [[0, 2], [1, 3]]
    """
    order = torch.randperm(len(lengths), generator=generator).numpy()
    chunk_of = np.arange(len(order)) // (size * _BATCHES_PER_CHUNK)
    order = order[np.lexsort((lengths[order], chunk_of))]
    count = -(-len(order) // size)
    for batch in torch.randperm(count, generator=generator).tolist():
        yield order[batch * size : (batch + 1) * size]


class TrimmedLoader:
    """A RecBole training loader whose batches hold histories of like length, cut to the longest.

    The work on padding is most of a transformer's step. For models whose scores do not depend on
    padding; the numbers are no longer those of RecBole's own trainer, which batches otherwise.

    Parameters
    ----------
    loader : recbole TrainDataLoader
        Gives batches of rows, negatives and transformations included.

    Attributes
    ----------
    dataset : CrossDomainDataset
        The training part.
    lengths : numpy.ndarray
        History length of each row, int [len(dataset)].
    """

    def __init__(self, loader: Any):
        self._loader, self.dataset = loader, loader.dataset
        self.generator = torch.Generator().manual_seed(loader.config["seed"])
        part = self.dataset
        starts = part.user_starts[part.inter_feat[part.uid_field]]
        self.lengths = np.minimum(part.rows - starts, part.max_item_list_len)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self._loader.step)

    def __iter__(self) -> Iterator[Any]:
        """Yield the loader's batches in a seeded random order."""
        for rows in batches_of_like_length(self.lengths, self._loader.step, self.generator):
            yield self._loader.collate_fn(rows)

    def get_model(self, model: Any) -> None:
        """Give the loader the model, whose scores dynamic negative sampling reads."""
        self._loader.get_model(model)
