"""What items are selected from: histories, deficits, candidate sets, titles and vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.candidates import CandidateSets, find_candidates
from recbole_edt.artefacts.augmenter.deficits import Deficits, find_deficits
from recbole_edt.artefacts.augmenter.representatives import seeded
from recbole_edt.artefacts.augmenter.retrieval import Cooccurrence, Retrieval, TitleSimilarity
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.embeddings import unit_vectors
from recbole_edt.artefacts.store import Entry
from recbole_edt.artefacts.task import ArtefactTask
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.llm import clean_title

_SEED = 2026
"""Of the order in which candidates are shown: fixed, so that only random choice has a seed."""


@dataclass(frozen=True)
class SelectionInputs:
    """What a selection is made from; N items, D deficits.

    Attributes
    ----------
    training : TrainingRows
        Histories.
    deficits : Deficits
        Which users lack items in which domains.
    candidates : CandidateSets
        Candidates of each deficit.
    titles : list of str
        Title of each catalogue row, ``""`` where there is none that could be shown.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.
    popularity : numpy.ndarray
        int64 [N], training interactions of each item.
    history : int
        Titles of the user in a prompt.
    seed : int
        Of random choice.
    """

    training: TrainingRows
    deficits: Deficits
    candidates: CandidateSets
    titles: list[str]
    unit: np.ndarray
    popularity: np.ndarray
    history: int
    seed: int

    @classmethod
    def retrieve(
        cls,
        task: ArtefactTask,
        settings: AugmentSettings,
        training: TrainingRows,
        deficits: Deficits,
        titles: list[str],
        allowed: np.ndarray,
    ) -> "SelectionInputs":
        """Return deficits with their candidates among the allowed items, bool [N]."""
        unit = unit_vectors(task.item_vectors())
        retrieval: Retrieval = TitleSimilarity(training, unit, settings.augment_floor)
        if settings.by_users:
            retrieval = Cooccurrence(training)
        size = settings.augment_pool
        return cls(
            training,
            deficits,
            find_candidates(training, deficits, allowed, size, retrieval),
            titles,
            unit,
            popularity=np.bincount(training.items, minlength=len(titles)),
            history=settings.augment_history,
            seed=settings.augment_seed,
        )

    def user(self, deficit: int) -> str:
        """Return the user id of a deficit."""
        return self.training.user_tokens[self.deficits.users[deficit]]

    def history_items(self, deficit: int) -> np.ndarray:
        """Return the user's training items, catalogue rows, oldest first."""
        return self.training.items[self.training.of_user(self.deficits.users[deficit])]

    def shown(self, deficit: int) -> np.ndarray:
        """Return the candidates of a deficit in the order in which a prompt numbers them."""
        return self._shuffled(deficit, _SEED, "select")

    def drawn(self, deficit: int) -> np.ndarray:
        """Return the candidates of a deficit in an order drawn by `seed`."""
        return self._shuffled(deficit, self.seed, "random")

    def _shuffled(self, deficit: int, number: int, purpose: str) -> np.ndarray:
        """Return the candidates in an order drawn for this user and domain only.

        The draw depends on no other user, so that it is the same in every shard.
        """
        domain = self.training.domain_names[self.deficits.domains[deficit]]
        draw = seeded(number, purpose, self.user(deficit), domain)
        return draw.permutation(self.candidates.of(deficit))


def shown_titles(titles: Sequence[str]) -> list[str]:
    """Return the titles, ``""`` for one of which nothing would be left in a prompt."""
    return [title if clean_title(title)[0] else "" for title in titles]


def selection_inputs(
    task: ArtefactTask, settings: AugmentSettings
) -> tuple[SelectionInputs, Entry]:
    """Return deficits and candidates of all users, and the counts for the manifest.

    Candidates need a title and at least one training interaction. An item that is seen in
    held-out rows only is thereby treated like one that is never seen, so that neither the
    split nor the held-out rows show in a candidate set [ours].
    """
    training, titles = task.training, shown_titles(task.titles)
    trained = np.bincount(training.items, minlength=len(titles)) > 0
    titled = np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    deficits = find_deficits(training.count_by_domain(), settings)
    inputs = SelectionInputs.retrieve(task, settings, training, deficits, titles, titled & trained)
    of_deficits = np.isin(training.users, deficits.users)
    sizes = inputs.candidates.sizes
    counts = {
        "pool_by": settings.augment_pool_by,
        "users": len(training.user_tokens),
        "imbalanced_users": len(np.unique(deficits.users)),
        "demands": len(deficits),
        "budget": int(deficits.limits.sum()),
        "demands_without_pool": int((sizes == 0).sum()),
        "pool_items": int(sizes.sum()),
        "items_without_title": int((~titled).sum()),
        "items_without_training_row": int((~trained).sum()),
        "history_rows_without_title": int((~titled[training.items[of_deficits]]).sum()),
    }
    return inputs, counts
