"""Which users lack interactions in which domains, and how many are to be proposed to them."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.augment_settings import AugmentSettings
from recbole_edt.artefacts.task import Training


@dataclass(frozen=True)
class Demands:
    """D pairs of a user and a sparse domain, sorted by user, then domain.

    Attributes
    ----------
    users : numpy.ndarray
        int64 [D], index into `Training.user_tokens`.
    domains : numpy.ndarray
        int64 [D], the sparse domain.
    dominant : numpy.ndarray
        int64 [D], the user's largest domain.
    limits : numpy.ndarray
        int64 [D], most items to propose; at least 1.
    """

    users: np.ndarray
    domains: np.ndarray
    dominant: np.ndarray
    limits: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, places: np.ndarray) -> "Demands":
        """Return the demands at these places, or where this mask is true."""
        return Demands(
            self.users[places], self.domains[places], self.dominant[places], self.limits[places]
        )


def count_by_domain(training: Training) -> np.ndarray:
    """Return the training rows of each user in each domain, int64 [U, K]."""
    shape = len(training.user_tokens), len(training.domain_names)
    flat = training.users * shape[1] + training.domains
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def find_demands(counts: np.ndarray, settings: AugmentSettings) -> Demands:
    """Return the sparse domains of the users, and the adaptive budget of each.

    A domain is sparse for a user when ``most / (most + its rows)`` reaches
    `augment_imbalance`, where `most` counts the rows of the user's largest domain. With two
    domains this is the dominant share; with more, it does not fall just because there are
    more; a missing domain is at 1 [ours]. The budget, ``min(cap, round(rate * (most - its
    rows)))``, grows with imbalance and length [paper: adaptive; ours: the formula]. Halves
    are rounded to the even number; a budget of 0 is no demand.

    Parameters
    ----------
    counts : numpy.ndarray
        int64 [U, K], training rows of each user in each domain.
    settings : AugmentSettings
        Threshold, rate and cap.
    """
    dominant = counts.argmax(axis=1)
    most = counts.max(axis=1, keepdims=True)
    share = most / np.maximum(most + counts, 1)
    budget = np.rint(settings.augment_rate * (most - counts))
    limits = np.minimum(settings.augment_cap, budget).astype(np.int64)
    users, domains = np.nonzero((share >= settings.augment_imbalance) & (limits > 0))
    return Demands(users, domains, dominant[users], limits[users, domains])
