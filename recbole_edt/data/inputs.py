"""What language models add to a dataset: an interface, filled in by code that knows their files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Tokens = Sequence[str] | np.ndarray
"""Users or items as the dataset's files have them."""


@dataclass(frozen=True)
class AugmentedRows:
    """Augmented interactions: item `items[n]` follows `anchors[n]` in the sequence of `users[n]`.

    Attributes
    ----------
    users, items, anchors : numpy.ndarray
        Tokens as the dataset's files have them, object [n].
    """

    users: np.ndarray
    items: np.ndarray
    anchors: np.ndarray


class TextInputs(Protocol):
    """Item vectors, user profiles and augmented interactions of one dataset.

    Each is loaded when a model first reads it, so that a model that reads none needs none. All
    raise `UserError` when what is asked for has not been made, is damaged, or was made from
    other data; the message names the command that makes it.
    """

    def item_vectors(self, items: Tokens) -> np.ndarray:
        """Return the vector of each item token, float32 [len(items), m]; zeros without a text."""

    def profile_vectors(
        self, users: Tokens, domains: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a vector per user and domain, float32 [U, K, m], and whether there is one [U, K].

        Vectors of missing profiles are zero. Of overall profiles there is one per user: [U, 1, m].
        """

    def augmented_rows(
        self, users: Collection[str], item_domains: Mapping[str, str]
    ) -> AugmentedRows:
        """Return the augmented interactions.

        Parameters
        ----------
        users : collection of str
            All users of the dataset; a row of another one is an error.
        item_domains : mapping of str to str
            The domain of each item; a row of another item or domain is an error.
        """
