"""What metrics of lists know about items: popularity, long tail, vectors."""

from functools import cached_property

import numpy as np

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.model.similarity import unit_vectors


class ItemFacts:
    """What the metrics of lists know about the items of a dataset, each computed when it is used.

    Parameters
    ----------
    part : CrossDomainDataset
        Any part of the dataset.

    Attributes
    ----------
    popularity : numpy.ndarray
        Training interactions of each item, int64 [item_num].
    """

    def __init__(self, part: CrossDomainDataset):
        self._part = part
        self.popularity = self._part.item_counts()

    @cached_property
    def self_information(self) -> np.ndarray:
        """-log2 of each item's share of the training interactions, float64 [item_num].

        An item without any counts as one with one.
        """
        return np.log2(max(self.popularity.sum(), 1)) - np.log2(np.maximum(self.popularity, 1))

    @cached_property
    def in_tail(self) -> np.ndarray:
        """The long tail among the items of training, as RecBole finds it, bool [item_num]."""
        return long_tail(self.popularity, self._part.config["tail_ratio"])

    @cached_property
    def unit_vectors(self) -> np.ndarray:
        """LLM vectors of length one, float32 [item_num, m]; zero for an item without a text."""
        vectors: np.ndarray = unit_vectors(self._part.item_vectors()).numpy()
        return vectors

    @cached_property
    def domain_shares(self) -> np.ndarray:
        """Share of each domain in the training interactions, float64 [K]."""
        domains = self._part.item_domain.numpy()[1:]
        counts = np.bincount(domains, self.popularity[1:], len(self._part.domains))
        shares: np.ndarray = counts / max(counts.sum(), 1)
        return shares


def long_tail(popularity: np.ndarray, ratio: float) -> np.ndarray:
    """Mark the long tail among the items that training has, bool [item_num].

    Parameters
    ----------
    popularity : numpy.ndarray
        Training interactions of each item, int [item_num].
    ratio : float
        Above 1: items with at most this many interactions. Otherwise this share of the items,
        the rarest first and among equals the lower id, but at least one.

    Examples
    --------
    Item 3 is not in training; of the other three items 60 % are one:

    >>> long_tail(np.array([0, 5, 2, 0, 2]), 0.6).tolist()
    [False, False, True, False, False]
    """
    known = np.flatnonzero(popularity)
    tail = np.zeros(len(popularity), dtype=bool)
    if ratio > 1:
        tail[known] = popularity[known] <= ratio
    else:
        rarest = known[np.argsort(popularity[known], kind="stable")]
        tail[rarest[: max(int(len(known) * ratio), 1)]] = True
    return tail
