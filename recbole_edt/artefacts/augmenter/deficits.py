"""Deficits: which users are short of interactions in which domains, and the budget of each."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.settings import AugmentSettings


@dataclass(frozen=True)
class Deficits:
    """D pairs of a user and a sparse domain, sorted by user, then domain.

    Attributes
    ----------
    users : numpy.ndarray
        int64 [D], index into `TrainingRows.user_tokens`.
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


def find_deficits(counts: np.ndarray, settings: AugmentSettings) -> Deficits:
    """Return the sparse domains of the users, and the adaptive budget of each.

    A domain is sparse for a user when ``most / (most + its rows)`` reaches
    `augment_imbalance`, where `most` counts the rows of the user's largest domain. With two
    domains this is the dominant share; with more, it does not fall just because there are
    more; a missing domain is at 1 [ours]. The budget, ``min(cap, round(rate * (most - its
    rows)))``, grows with imbalance and length [paper: adaptive; ours: the formula]. Halves
    are rounded to the even number; a budget of 0 is no deficit.

    Parameters
    ----------
    counts : numpy.ndarray
        int64 [U, K], training rows of each user in each domain.
    settings : AugmentSettings
        Threshold, rate and cap.

    Examples
    --------
    Threshold .8, rate .5, cap 3::

        counts    [[8, 2], [5, 5], [1, 4]]
        share     [[.5, .8], [.5, .5], [.8, .5]]
        budget    [[0, 3], [0, 0], [2, 0]]      (half of 3 is 1.5, to the even 2)
        users [0, 2]   domains [1, 0]   dominant [0, 1]   limits [3, 2]
    """
    dominant = counts.argmax(axis=1)
    most = counts.max(axis=1, keepdims=True)
    share = most / np.maximum(most + counts, 1)
    budget = np.rint(settings.augment_rate * (most - counts))
    limits = np.minimum(settings.augment_cap, budget).astype(np.int64)
    users, domains = np.nonzero((share >= settings.augment_imbalance) & (limits > 0))
    return Deficits(users, domains, dominant[users], limits[users, domains])
