"""Representative items of each user and domain, and the ordered pairs of domains to ask about."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.deficits import find_deficits
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.clusters import growing_count, representatives
from recbole_edt.artefacts.training_rows import TrainingRows

_LEAST_EXAMPLE = 2
"""Items that a user must have in each domain to be an example."""


@dataclass(frozen=True)
class DomainPairs:
    """Q questions: from items of a user's source domain to items of a target domain.

    Attributes
    ----------
    users, sources, targets : numpy.ndarray
        int64 [Q], index into the user tokens and domain names of the training rows.
    limits : numpy.ndarray
        int64 [Q], most items to generate; at least 1.
    representatives : list of numpy.ndarray
        Representative items of each question, catalogue rows, oldest first.
    """

    users: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    limits: np.ndarray
    representatives: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class UserItems:
    """The distinct usable training items of each user in each domain, by last interaction.

    Attributes
    ----------
    training : TrainingRows
        Histories: only these are shown.
    usable : numpy.ndarray
        bool [N], items with a title and a vector.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.
    settings : AugmentSettings
        How many items represent a user, limits, and examples.
    """

    training: TrainingRows
    usable: np.ndarray
    unit: np.ndarray
    settings: AugmentSettings

    def of(self, user: int, domain: int) -> np.ndarray:
        """Return catalogue rows, the one that was taken last at the end."""
        rows = self.training.of_user(user)
        items = self.training.items[rows]
        items = items[self.usable[items] & (self.training.domains[rows] == domain)]
        # The last occurrence of each item: the first one of the reversed sequence.
        _, first = np.unique(items[::-1], return_index=True)
        return items[np.sort(len(items) - 1 - first)]

    def representatives(self, user: int, domain: int) -> np.ndarray:
        """Return the items nearest to the centroids of K-means over the user's items [figure].

        There is one for each `augment_items_per_representative` items, up to
        `augment_representatives` [ours].
        """
        items, settings = self.of(user, domain), self.settings
        if not len(items):
            return items
        count = growing_count(
            len(items), settings.augment_items_per_representative, settings.augment_representatives
        )
        return items[representatives(self.unit[items], count)]

    def draw_examples(self, source: int, target: int) -> list[int]:
        """Draw users who are active in both domains, as examples for all others.

        They have `_LEAST_EXAMPLE` different items or more in each. One more than
        `augment_examples` is drawn, so that each of them has others to see; the draw depends on
        the names of the domains too.
        """
        count, training = self.settings.augment_examples, self.training
        if not count:
            return []
        kept = self.usable[training.items]
        width = len(training.item_domains)
        pairs = np.unique(training.users[kept] * width + training.items[kept])
        users, domains = pairs // width, training.item_domains[pairs % width]
        enough = [
            np.bincount(users[domains == k], minlength=len(training.user_tokens)) >= _LEAST_EXAMPLE
            for k in (source, target)
        ]
        names = [training.domain_names[k] for k in (source, target)]
        draw = seeded(self.settings.augment_seed, "examples", *names)
        drawn = draw.permutation(np.flatnonzero(enough[0] & enough[1]))
        return [int(user) for user in drawn[: count + 1]]


def find_pairs(items: UserItems, allowed: np.ndarray) -> DomainPairs:
    """Return the questions of all users: one per ordered pair of domains [figure: any K ours].

    With ``augment_pairs: sparse`` only domains that `find_deficits` returns are targets, within
    their budget.

    Parameters
    ----------
    items : UserItems
        What may represent a user.
    allowed : numpy.ndarray
        bool [N], items that may be generated. A domain without any is no target.
    """
    training, settings = items.training, items.settings
    shape = len(training.user_tokens), len(training.domain_names)
    limits = np.full(shape, settings.augment_cap, dtype=np.int64)
    if settings.augment_pairs == "sparse":
        deficits = find_deficits(training.count_by_domain(), settings)
        limits = np.zeros(shape, dtype=np.int64)
        limits[deficits.users, deficits.domains] = deficits.limits
    open_domains = np.bincount(training.item_domains[allowed], minlength=shape[1]) > 0
    limits[:, ~open_domains] = 0
    found: list[tuple[int, int, int]] = []
    shown: list[np.ndarray] = []
    for user in np.flatnonzero(limits.any(axis=1)).tolist():
        for source in range(shape[1]):
            targets = [k for k in range(shape[1]) if k != source and limits[user, k]]
            chosen = items.representatives(user, source) if targets else ()
            if len(chosen):
                found += [(user, source, target) for target in targets]
                shown += [np.asarray(chosen)] * len(targets)
    users, sources, targets_ = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return DomainPairs(users, sources, targets_, limits[users, targets_], shown)


def seeded(seed: int, *purpose: str) -> np.random.Generator:
    """Return a generator of its own for one purpose, the same in every shard."""
    key = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "big"))
