"""Training rows of sequence-to-sequence losses: windows over each user's training sequence."""

from collections.abc import Iterator

import numpy as np
import torch

from recbole_edt.data.batching import batches_of_like_length
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.recbole_bridge import Interaction

ITEMS, LABELS = "window_items", "window_labels"


class WindowLoader:
    """Batches of user windows; every transition of the training part is a label exactly once.

    A sequence of more than T + 1 items is cut from its end into windows of T labels; a shorter
    one is a single window. [ours] (the release trains on the last window only [code]). Augmented
    interactions that are context only are inputs and never labels.

    Parameters
    ----------
    dataset : CrossDomainDataset
        The training part.
    max_length : int
        Longest window T.
    batch_size : int
        Windows per batch.
    seed : int
        Seeds the order of windows and batches.

    Attributes
    ----------
    dataset : CrossDomainDataset
        The training part.
    starts, lengths : numpy.ndarray
        Index of each window's first input in the training sequences, and its number of labels.

    Examples
    --------
    With T = 2 the sequence a b c d e f gives the windows (inputs -> labels), from its end::

        d e -> e f      b c -> c d      a -> b
    """

    def __init__(self, dataset: CrossDomainDataset, max_length: int, batch_size: int, seed: int):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        users, items, is_target = dataset.training_sequences()
        self._items = items
        self._is_target = None if is_target.all() else is_target
        first = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
        labels = np.diff(np.r_[first, len(users)]) - 1  # every item but a user's first
        pieces = -(-labels // max_length)
        owner = np.repeat(np.arange(len(first)), pieces)
        piece = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        end = (first + labels)[owner] - piece * max_length  # index of the last label
        self.lengths = np.minimum(labels[owner] - piece * max_length, max_length)
        self.starts = end - self.lengths
        self._users = users[self.starts]

    def __len__(self) -> int:
        return -(-len(self.starts) // self.batch_size)

    def __iter__(self) -> Iterator[Interaction]:
        """Yield inputs and labels, int64 [B, longest window in the batch], and users [B]."""
        for batch in batches_of_like_length(self.lengths, self.batch_size, self.generator):
            yield self._gather(batch)

    def _gather(self, windows: np.ndarray) -> Interaction:
        lengths = self.lengths[windows]
        steps = np.arange(lengths.max())
        inside = steps < lengths[:, None]
        index = np.where(inside, self.starts[windows][:, None] + steps, 0)
        labels_index = index + inside
        labels = self._items[labels_index] * inside
        if self._is_target is not None:
            labels *= self._is_target[labels_index]
        tensors = {
            self.dataset.uid_field: self._users[windows],
            ITEMS: self._items[index] * inside,
            LABELS: labels,
        }
        return Interaction(
            {field: torch.from_numpy(v.astype(np.int64)) for field, v in tensors.items()}
        )
