"""Recall of hidden items, and the confidence interval of a difference in recall."""

from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter import SelectedItems

_DRAWS = 2000
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class HiddenItems:
    """The hidden items of D users.

    Attributes
    ----------
    owners : numpy.ndarray
        int64 [H], user (0 to D - 1) of each item, not decreasing.
    items : numpy.ndarray
        int64 [H], catalogue rows, each once per user.
    count : int
        D.
    """

    owners: np.ndarray
    items: np.ndarray
    count: int

    @property
    def sizes(self) -> np.ndarray:
        """Hidden items of each user, int64 [D]; at least 1."""
        return np.bincount(self.owners, minlength=self.count)

    def count_hits(self, owners: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return how many of each user's hidden items are among these pairs, int64 [D].

        Examples
        --------
        Users 0 and 2 of three have hidden items; a pair is ``owner * base + item``, base 10::

            hidden    owners [0, 0, 2]   items [4, 7, 4]      pairs 4, 7, 24
            proposed  owners [0, 0, 1]   items [7, 7, 4]      pairs 7, 14
            returned  [1, 0, 0]
        """
        base = 1 + max(self.items.max(initial=0), items.max(initial=0))
        pairs = np.unique(owners * base + items)
        hits = np.isin(pairs, self.owners * base + self.items)
        return np.bincount(pairs[hits] // base, minlength=self.count)


@dataclass(frozen=True)
class ModeRecall:
    """The recall of one way of selecting items.

    Attributes
    ----------
    name : str
        Mode, or name of a reference.
    recalls : numpy.ndarray
        float64 [D], share of each user's hidden items that was proposed.
    selected : SelectedItems or None
        The proposals; None where recall is computed without any.
    seconds : float
        Time of the selection; replies from the store take none.
    error : str
        Why the mode could not be run; empty when it was.
    """

    name: str
    recalls: np.ndarray
    selected: SelectedItems | None = None
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Lift:
    """The difference of two mean recalls.

    Attributes
    ----------
    difference, low, high : float
        The difference, and the ends of its 95 % interval.
    ratio : float or None
        Quotient of the means; None when the lower one is 0.
    """

    difference: float
    low: float
    high: float
    ratio: float | None

    @property
    def verdict(self) -> str:
        """The difference in words."""
        if self.low > 0:
            return "beats"
        return "is worse than" if self.high < 0 else "does not beat"


def lift(recalls: np.ndarray, base: np.ndarray, seed: int) -> Lift:
    """Compare the recalls of the same users under two ways of selecting.

    Parameters
    ----------
    recalls, base : numpy.ndarray
        float64 [D].
    seed : int
        Of the paired bootstrap over users (2,000 draws, percentile interval).
    """
    difference = recalls - base
    users = len(difference)
    rng = np.random.default_rng(seed)
    step = max(_AT_ONCE // users, 1)
    means = np.concatenate(
        [
            difference[rng.integers(users, size=(min(step, _DRAWS - start), users))].mean(axis=1)
            for start in range(0, _DRAWS, step)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    ratio = float(recalls.mean() / base.mean()) if base.mean() > 0 else None
    return Lift(float(difference.mean()), float(low), float(high), ratio)
