"""What a probe hides, and the pools that it is looked for in."""

from dataclasses import dataclass, replace

import numpy as np

from recbole_edt.artefacts.augmenter.augment_settings import USERS, AugmentSettings
from recbole_edt.artefacts.augmenter.budget import Demands, count_by_domain
from recbole_edt.artefacts.augmenter.nearness import ByUsers
from recbole_edt.artefacts.augmenter.place import find_anchors
from recbole_edt.artefacts.augmenter.pool import Pool
from recbole_edt.artefacts.probe.probe_stats import Hidden
from recbole_edt.artefacts.questions import Work
from recbole_edt.artefacts.task import Training
from recbole_edt.errors import UserError


@dataclass(frozen=True)
class Case:
    """What was hidden from whom.

    Attributes
    ----------
    training : Training
        The rows that are left.
    demands : Demands
        The sampled users, the domain that was hidden, and how many items to propose.
    hidden : Hidden
        The hidden items that have a title and a vector.
    eligible : int
        Users that the sample was drawn from.
    rows : int
        Hidden interactions.
    """

    training: Training
    demands: Demands
    hidden: Hidden
    eligible: int
    rows: int


def hide(training: Training, usable: np.ndarray, users: int, limit: int, seed: int) -> Case:
    """Draw users and take the rows of each one's smallest domain out of the training rows.

    Parameters
    ----------
    training : Training
        All training rows.
    usable : numpy.ndarray
        bool [N], items with title and vector.
    users, limit, seed : int
        Size of the sample, items to propose for each user, seed of the draw.

    Raises
    ------
    UserError
        When no user has usable items in two domains.
    """
    counts = count_by_domain(training)
    everyone = np.arange(len(counts))
    dominant = counts.argmax(axis=1)
    others = np.where(counts > 0, counts, np.iinfo(counts.dtype).max)
    others[everyone, dominant] = np.iinfo(counts.dtype).max
    smallest = others.argmin(axis=1)
    has_two = others.min(axis=1) < np.iinfo(counts.dtype).max

    def usable_rows(domains: np.ndarray) -> np.ndarray:
        rows = usable[training.items] & (training.domains == domains[training.users])
        return np.bincount(training.users[rows], minlength=len(counts))

    eligible = np.flatnonzero(has_two & (usable_rows(smallest) > 0) & (usable_rows(dominant) > 0))
    if not len(eligible):
        raise UserError(
            "probe: no user has training interactions with titled items in two domains, "
            "so there is nothing to hide"
        )
    sample = np.sort(np.random.default_rng(seed).permutation(eligible)[:users])
    place = np.full(len(counts), -1)
    place[sample] = np.arange(len(sample))
    gone = (place[training.users] >= 0) & (training.domains == smallest[training.users])
    hidden = gone & usable[training.items]
    pairs = np.unique(
        np.stack([place[training.users[hidden]], training.items[hidden]], axis=1), axis=0
    )
    kept = training.users[~gone]
    rest = replace(
        training,
        users=kept,
        items=training.items[~gone],
        times=training.times[~gone],
        domains=training.domains[~gone],
        starts=np.searchsorted(kept, np.arange(len(counts) + 1)),
    )
    limits = np.full(len(sample), limit)
    demands = Demands(sample, smallest[sample], dominant[sample], limits)
    return Case(
        rest, demands, Hidden(pairs[:, 0], pairs[:, 1], len(sample)), len(eligible), int(gone.sum())
    )


def plant(
    work: Work, hidden: Hidden, usable: np.ndarray, settings: AugmentSettings, seed: int
) -> tuple[Work, Hidden]:
    """Return pools of one hidden item of each user among random items of its domain.

    Parameters
    ----------
    work : Work
        Whose demands are kept.
    hidden : Hidden
        What was hidden; the user's other hidden items are not drawn.
    usable : numpy.ndarray
        bool [N], items that may be drawn.
    settings : AugmentSettings
        Candidates of each user, and what they are ranked by.
    seed : int
        Of the draws.
    """
    rng = np.random.default_rng([seed, 1])
    starts = np.searchsorted(hidden.owners, np.arange(hidden.count + 1))
    size = settings.augment_pool
    targets, pools = [], []
    for demand, domain in enumerate(work.demands.domains):
        mine = hidden.items[starts[demand] : starts[demand + 1]]
        targets.append(rng.choice(mine))
        free = usable & (work.training.item_domains == domain)
        free[mine] = free[work.history_items(demand)] = False
        others = np.flatnonzero(free)
        drawn = rng.choice(others, min(size - 1, len(others)), replace=False)
        pools.append(np.r_[targets[-1], drawn])
    items = np.concatenate(pools)
    owners = np.repeat(np.arange(len(pools)), [len(pool) for pool in pools])
    users = work.demands.users[owners]
    if settings.augment_pool_by == USERS:
        near = ByUsers(work.training).pairs(users, items)
    else:
        near = find_anchors(work.training, users, items, work.unit)[1]
    order = np.lexsort((items, -near, owners))
    bounds = np.searchsorted(owners, np.arange(len(pools) + 1))
    pool = Pool(items[order], near[order], bounds)
    target = Hidden(np.arange(len(pools)), np.array(targets), len(pools))
    return replace(work, pool=pool), target
