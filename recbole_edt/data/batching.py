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
        Draws which rows meet and the order of the batches.
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
    """

    def __init__(self, loader: Any):
        self._loader, self._dataset = loader, loader._dataset
        self.generator = torch.Generator().manual_seed(loader.config["seed"])
        starts = self._dataset.user_starts[self._dataset.inter_feat[self._dataset.uid_field]]
        self.lengths = np.minimum(self._dataset.rows - starts, self._dataset.max_item_list_len)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self._loader.step)

    def __iter__(self) -> Iterator[Any]:
        """Yield the loader's batches in an order of their own."""
        for rows in batches_of_like_length(self.lengths, self._loader.step, self.generator):
            yield self._loader.collate_fn(rows)

    def get_model(self, model: Any) -> None:
        """Hand over the model, which dynamic negative sampling asks."""
        self._loader.get_model(model)
