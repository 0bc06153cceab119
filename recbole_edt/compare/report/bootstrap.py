"""Paired bootstrap over users, with interval, effect size and Holm's correction [ours].

Users are the unit that is drawn: a user's targets stay together, and every row of a table sees
the same draws (`scipy.stats.bootstrap` can do neither). RecBole's own significance test has its
alternative the wrong way round; the tests of this module cover a clear win, a clear loss and no
difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
MIN_USERS = 20  # a bootstrap over fewer gives intervals that are too narrow
_CELLS_IN_MEMORY = 1 << 22  # users times draws that are counted together
_LEVEL = 0.95
_ROUNDING = 1e-12  # equal columns of a matrix product may differ by as little


@dataclass(frozen=True)
class Effect:
    """How much larger one mean is than another over the same users.

    Attributes
    ----------
    difference, low, high : float
        Difference of the means, and the ends of its 95 % percentile interval.
    p : float or None
        Two-sided; None below `MIN_USERS` users.
    d_z : float or None
        Cohen's d of the users' differences; None where these do not vary but are not 0.
    users : int
        Users compared.
    """

    difference: float
    low: float
    high: float
    p: float | None
    d_z: float | None
    users: int


def bootstrap_means(
    sums: np.ndarray,
    counts: np.ndarray,
    seed: int,
    draws: int = DRAWS,
    cells_in_memory: int = _CELLS_IN_MEMORY,
) -> np.ndarray:
    """Return the means of several columns in resamples of the users, float64 [draws, columns].

    Parameters
    ----------
    sums : numpy.ndarray
        [users, columns], a metric summed over each user's targets.
    counts : numpy.ndarray
        [users], targets of each user, more than 0: their number, or the sum of their weights
        (of `sums` too). With one target per user, as under
        leave-one-out, this is the plain bootstrap of a mean.
    seed : int
        Of the draws, which all columns share.
    draws : int
        Resamples.
    cells_in_memory : int
        Users times draws that are counted together; the result does not depend on it.

    Examples
    --------
    Two users with 1 and 3 targets; a metric that is 1 for the first user's target only:

    >>> bootstrap_means(np.array([[1.0], [0.0]]), np.array([1, 3]), seed=0, draws=3).tolist()
    [[0.0], [0.25], [1.0]]
    """
    users = len(sums)
    rng = np.random.default_rng(seed)
    step = max(cells_in_memory // users, 1)
    parts = []
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = rng.integers(users, size=(size, users))
        drawn += np.arange(size)[:, None] * users
        times = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        times = times.astype(np.float64)
        parts.append((times @ sums) / (times @ counts)[:, None])
    return np.concatenate(parts)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of some resampled means."""
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def two_sided_p(draws: np.ndarray) -> float:
    """Return twice the share of resampled differences on the rarer side of 0, at most 1.

    A difference of exactly 0 counts on both sides, and one draw is added to each, so that p is
    never 0 and two equal rows get 1.
    """
    below, above = (draws <= 0).sum() + 1, (draws >= 0).sum() + 1
    return float(min(1.0, 2 * min(below, above) / (len(draws) + 1)))


def effect(
    first: np.ndarray,
    second: np.ndarray,
    counts: np.ndarray,
    first_draws: np.ndarray,
    second_draws: np.ndarray,
) -> Effect:
    """Compare two rows on the same users.

    Parameters
    ----------
    first, second : numpy.ndarray
        [users], the metric summed over each user's targets.
    counts : numpy.ndarray
        [users], targets of each user, as above.
    first_draws, second_draws : numpy.ndarray
        [draws], their columns of one call of `bootstrap_means`.
    """
    by_user = (first - second) / counts
    spread = by_user.std(ddof=1) if len(by_user) > 1 else 0.0
    mean = by_user.mean()
    if spread > 1e-12 * max(abs(mean), 1e-300):
        d_z: float | None = float(mean / spread)
    else:
        d_z = 0.0 if mean == 0 else None
    draws = first_draws - second_draws
    draws[np.abs(draws) < _ROUNDING] = 0.0
    low, high = interval(draws)
    return Effect(
        difference=float((first.sum() - second.sum()) / counts.sum()),
        low=low,
        high=high,
        p=two_sided_p(draws) if len(by_user) >= MIN_USERS else None,
        d_z=d_z,
        users=len(by_user),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values of one family after Holm's step-down correction.

    Parameters
    ----------
    p_values : sequence of float or None
        None (not tested) stays None and does not count.
    """
    tested = [k for k, p in enumerate(p_values) if p is not None]
    raw = np.array([p_values[k] for k in tested], dtype=float)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)).clip(max=1.0)
    adjusted: list[float | None] = [None] * len(p_values)
    for k, p in zip(order, stepped, strict=True):
        adjusted[tested[k]] = float(p)
    return adjusted
