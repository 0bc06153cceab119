"""The noise filter: generated titles against the representatives that they came from [figure]."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter.representatives import DomainPairs, seeded
from recbole_edt.artefacts.augmenter.selection import IN_HISTORY, UNGROUNDED, SelectedItems
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.training_rows import TrainingRows

FAR, LIKE_RANDOM, OTHER_SCRIPT = "far_from_representatives", "like_random_items", "other_script"
"""Reasons to reject a generated title; further ones are in `selection` and `llm.parsing`."""


class NoiseFilter:
    """Decides what becomes of the titles in a reply.

    A title is dropped when it repeats the user's history, when it is not near the
    representatives (`augment_noise_floor`), when `augment_noise_share` of random items of the
    domain are as near to them, or when no item of the catalogue is near it (`augment_floor`).

    Parameters
    ----------
    training : TrainingRows
        Histories.
    allowed : numpy.ndarray
        bool [N], items that titles are grounded to.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.
    titles : sequence of str
        Title of each catalogue row: their scripts are those that a generated title may have.
    settings : AugmentSettings
        Floors, share, number and seed of the random items.
    """

    def __init__(
        self,
        training: TrainingRows,
        allowed: np.ndarray,
        unit: np.ndarray,
        titles: Sequence[str],
        settings: AugmentSettings,
    ):
        self._training, self._unit, self._settings = training, unit, settings
        self._items: list[np.ndarray] = []
        self._random: list[np.ndarray] = []
        for domain, name in enumerate(training.domain_names):
            items = np.flatnonzero(allowed & (training.item_domains == domain))
            draw = seeded(settings.augment_seed, "noise", name).permutation(items)
            self._items.append(items)
            self._random.append(unit[draw[: settings.augment_noise_items]])
        self._scripts = {script for title in titles for script in scripts_of(title)}
        self._taken: set[tuple[int, int]] = set()

    def has_known_script(self, title: str) -> bool:
        """Whether most letters of a title are of scripts in which titles are written here."""
        scripts = scripts_of(title)
        unknown = sum(count for name, count in scripts.items() if name not in self._scripts)
        return 2 * unknown <= scripts.total()

    def accept(
        self, pairs: DomainPairs, question: int, vectors: np.ndarray, result: SelectedItems
    ) -> None:
        """Accept or reject the titles of one reply, in their order.

        Parameters
        ----------
        pairs : DomainPairs
            The questions.
        question : int
            Which of them was answered.
        vectors : numpy.ndarray
            float32 [titles, m], unit vectors of the titles.
        result : SelectedItems
            Is added to.
        """
        settings, unit = self._settings, self._unit
        user, target = int(pairs.users[question]), int(pairs.targets[question])
        shown, offered = unit[pairs.representatives[question]], self._items[target]
        history = self._training.items[self._training.of_user(user)]
        near = vectors @ unit[offered].T
        near[:, np.isin(offered, history)] = -np.inf
        repeats = (vectors @ unit[history].T).max(axis=1, initial=-1)
        support = (vectors @ shown.T).max(axis=1, initial=-1)
        least_random = self._least(shown, target)
        accepted = 0
        for row, repeated, supported in zip(near, repeats, support, strict=True):
            best = int(row.argmax()) if len(row) else -1
            highest = row[best] if len(row) else -np.inf
            if repeated >= settings.augment_floor and repeated >= highest:
                result.rejects[IN_HISTORY] += 1
            elif supported < settings.augment_noise_floor:
                result.rejects[FAR] += 1
            elif supported < least_random:
                result.rejects[LIKE_RANDOM] += 1
            elif highest < settings.augment_floor or not np.isfinite(highest):
                result.rejects[UNGROUNDED] += 1
            elif (user, int(offered[best])) in self._taken:
                result.rejects[llm.DUPLICATE] += 1
            elif accepted >= pairs.limits[question]:
                result.rejects[llm.OVER_LIMIT] += 1
            else:
                accepted += 1
                self._taken.add((user, int(offered[best])))
                result.accept(question, offered[best], supported)

    def _least(self, shown: np.ndarray, target: int) -> float:
        """Return how near a title must be for being nearer than the share of random items."""
        random, share = self._random[target], self._settings.augment_noise_share
        if not share or not len(random):
            return -np.inf
        return float(np.quantile((random @ shown.T).max(axis=1), share))


def scripts_of(text: str) -> Counter[str]:
    """Count the letters of a text by script, such as LATIN or CJK."""
    return Counter(
        unicodedata.name(character, "?").split()[0] for character in text if character.isalpha()
    )
