"""The interactions that a probe hides, and the candidate sets that they are looked for in."""

from dataclasses import dataclass, replace

import numpy as np

from recbole_edt.artefacts.augmenter import (
    AugmentSettings,
    CandidateSets,
    Cooccurrence,
    Deficits,
    SelectionInputs,
    find_anchors,
)
from recbole_edt.artefacts.probe.recall import HiddenItems
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.errors import UserError


@dataclass(frozen=True)
class ProbeSample:
    """The drawn users, and the interactions that are hidden.

    Attributes
    ----------
    training : TrainingRows
        The rows that are left.
    deficits : Deficits
        The sampled users, the domain that was hidden, and how many items to propose.
    hidden : HiddenItems
        The hidden items that have a title and a vector.
    eligible : int
        Users that the sample was drawn from.
    rows : int
        Hidden interactions.
    """

    training: TrainingRows
    deficits: Deficits
    hidden: HiddenItems
    eligible: int
    rows: int


def hide_rows(
    training: TrainingRows, usable: np.ndarray, users: int, limit: int, seed: int
) -> ProbeSample:
    """Draw users and take the rows of each one's smallest domain out of the training rows.

    Parameters
    ----------
    training : TrainingRows
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
    counts = training.count_by_domain()
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
    number = np.full(len(counts), -1)
    number[sample] = np.arange(len(sample))
    gone = (number[training.users] >= 0) & (training.domains == smallest[training.users])
    hidden = gone & usable[training.items]
    pairs = np.unique(
        np.stack([number[training.users[hidden]], training.items[hidden]], axis=1), axis=0
    )
    limits = np.full(len(sample), limit)
    return ProbeSample(
        _without(training, gone),
        Deficits(sample, smallest[sample], dominant[sample], limits),
        HiddenItems(pairs[:, 0], pairs[:, 1], len(sample)),
        len(eligible),
        int(gone.sum()),
    )


def _without(training: TrainingRows, gone: np.ndarray) -> TrainingRows:
    """Return the training rows where the mask, bool [R], is not set."""
    users = training.users[~gone]
    return replace(
        training,
        users=users,
        items=training.items[~gone],
        times=training.times[~gone],
        domains=training.domains[~gone],
        starts=np.searchsorted(users, np.arange(len(training.starts))),
    )


def plant(
    inputs: SelectionInputs,
    hidden: HiddenItems,
    usable: np.ndarray,
    settings: AugmentSettings,
    seed: int,
) -> tuple[SelectionInputs, HiddenItems]:
    """Return candidate sets of one hidden item of each user among random items of its domain.

    Parameters
    ----------
    inputs : SelectionInputs
        The deficits are kept, the candidates replaced.
    hidden : HiddenItems
        What was hidden; the user's other hidden items are not drawn.
    usable : numpy.ndarray
        bool [N], items that may be drawn.
    settings : AugmentSettings
        Candidates of each user, and what they are ranked by.
    seed : int
        Seed of the draws.
    """
    rng = np.random.default_rng([seed, 1])
    starts = np.searchsorted(hidden.owners, np.arange(hidden.count + 1))
    size = settings.augment_pool
    targets, sets = [], []
    for deficit, domain in enumerate(inputs.deficits.domains):
        of_user = hidden.items[starts[deficit] : starts[deficit + 1]]
        targets.append(rng.choice(of_user))
        free = usable & (inputs.training.item_domains == domain)
        free[of_user] = free[inputs.history_items(deficit)] = False
        others = np.flatnonzero(free)
        drawn = rng.choice(others, min(size - 1, len(others)), replace=False)
        sets.append(np.r_[targets[-1], drawn])
    items = np.concatenate(sets)
    owners = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    users = inputs.deficits.users[owners]
    if settings.by_users:
        values = Cooccurrence(inputs.training).pairs(users, items)
    else:
        values = find_anchors(inputs.training, users, items, inputs.unit)[1]
    order = np.lexsort((items, -values, owners))
    bounds = np.searchsorted(owners, np.arange(len(sets) + 1))
    candidates = CandidateSets(items[order], values[order], bounds)
    target = HiddenItems(np.arange(len(sets)), np.array(targets), len(sets))
    return replace(inputs, candidates=candidates), target
