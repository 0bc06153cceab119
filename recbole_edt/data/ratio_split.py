"""Splits by shares of the rows, as RecBole's ``split: {RS: [0.8, 0.1, 0.1]}`` counts them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_edt.data.split_codes import TEST, TRAIN, VALID

RATIO = "ratio"
RANDOM = "random"


@dataclass(frozen=True)
class RatioSplit:
    """Shares of training, validation and test rows, and how the rows are ordered and grouped.

    Attributes
    ----------
    ratios : tuple of float
        Shares of the three parts; they need not add up to 1.
    order : str
        ``time``: later rows are held out; ``random``: rows are drawn.
    group : str
        ``user``: shares of each user's rows; ``none``: of all rows together.
    seed : int
        Of the draw.
    """

    ratios: tuple[float, ...]
    order: str
    group: str
    seed: int

    @property
    def kind(self) -> str:
        """Name of the split and its files, such as ``ratio-0.8-0.1-0.1-time-user``."""
        drawn = f"{RANDOM}{self.seed}" if self.order == RANDOM else self.order
        return "-".join([RATIO, *(f"{share:g}" for share in self.ratios), drawn, self.group])

    def codes(self, users: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the code of each row.

        Parameters
        ----------
        users, times : numpy.ndarray
            User (int) and timestamp (float64) of each row, [rows]; equal times keep their order.

        Returns
        -------
        numpy.ndarray
            uint8 [rows].

        Examples
        --------
        Ten rows of one user, one a day; 0 is training, 1 validation, 2 test:

        >>> split = RatioSplit((0.6, 0.2, 0.2), "time", "user", 0)
        >>> split.codes(np.zeros(10, dtype=int), np.arange(10.0)).tolist()
        [0, 0, 0, 0, 0, 0, 1, 1, 2, 2]
        """
        keys = times
        if self.order == RANDOM:
            keys = np.random.default_rng(self.seed).permutation(len(times))
        groups = users if self.group == "user" else np.zeros(len(users), dtype=np.int8)
        order = np.lexsort((keys, groups))
        in_order = groups[order]
        starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
        lengths = np.diff(np.r_[starts, len(users)])
        trained, validated, _ = part_sizes(lengths, self.ratios)
        index = np.arange(len(users)) - np.repeat(starts, lengths)
        codes = np.full(len(users), TRAIN, dtype=np.uint8)
        codes[order[index >= np.repeat(trained, lengths)]] = VALID
        codes[order[index >= np.repeat(trained + validated, lengths)]] = TEST
        return codes


def part_sizes(totals: np.ndarray, ratios: tuple[float, ...]) -> list[np.ndarray]:
    """Return how many of some rows each part gets, as RecBole rounds, int [groups] per part.

    Validation and test are rounded down; one that would have none gets one, the test part first,
    as long as training keeps one.

    Examples
    --------
    >>> [sizes.tolist() for sizes in part_sizes(np.array([10, 5, 2, 1]), (0.8, 0.1, 0.1))]
    [[8, 3, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
    """
    shares = [ratio / sum(ratios) for ratio in ratios]
    sizes: list[np.ndarray] = [(share * totals).astype(np.int64) for share in shares]
    sizes[0] = totals - sum(sizes[1:])
    for share, size in zip(shares[:0:-1], sizes[:0:-1], strict=True):
        more = (sizes[0] > 1) & (share * totals > 0) & (share * totals < 1)
        size += more
        sizes[0] -= more
    return sizes


def ratio_split(keys: Mapping[str, Any]) -> RatioSplit:
    """Return the split that the keys ``split_ratios``, ``split_order``, ... describe."""
    ratios = tuple(float(share) for share in keys["split_ratios"])
    return RatioSplit(ratios, keys["split_order"], keys["split_group"], keys["split_seed"])
