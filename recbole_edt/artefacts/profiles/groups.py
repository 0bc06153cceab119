"""Groups of each user's items, and the question about each group's part in each domain [figure]."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recbole_edt import fields, llm
from recbole_edt.artefacts.augmenter import AugmentSettings
from recbole_edt.artefacts.augmenter.deficits import find_deficits
from recbole_edt.artefacts.clusters import cluster, growing_count, one_thread
from recbole_edt.artefacts.embeddings import unit_vectors
from recbole_edt.artefacts.profiles.questions import NO_TITLE, TOO_FEW, ProfileSettings
from recbole_edt.artefacts.store import ANCHOR, AUGMENT, Entry
from recbole_edt.artefacts.task import ArtefactTask
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.errors import UserError

NOT_SPARSE = "no_sparse_domain"
"""Reason to ask nothing about a user, with ``profile_users: sparse``."""


@dataclass(frozen=True)
class GroupQuestions:
    """The questions about Q parts: the items of one user's group in one domain.

    Attributes
    ----------
    users, groups, domains : numpy.ndarray
        int64 [Q]; groups count from 0 within a user. Sorted by user, group, domain.
    items : list of numpy.ndarray
        Items of each part, catalogue rows, oldest first.
    prompts : list of Prompt
        One per part.
    generation : Generation
        How replies are generated.
    masked : collections.Counter
        Users without a question, by reason.
    cut_groups, cut_titles : int
        Parts with more items than a prompt shows, and titles that were cut.
    """

    users: np.ndarray
    groups: np.ndarray
    domains: np.ndarray
    items: list[np.ndarray]
    prompts: list[llm.Prompt]
    generation: llm.Generation
    masked: Counter[str]
    cut_groups: int
    cut_titles: int

    @property
    def requests(self) -> llm.GenerateRequests:
        """The questions as a language model takes them."""
        return llm.GenerateRequests(self.prompts, self.generation)

    def part(self, indices: Sequence[int]) -> "GroupQuestions":
        """Return the questions at these positions; counts stay those of all questions."""
        return replace(
            self,
            users=self.users[indices],
            groups=self.groups[indices],
            domains=self.domains[indices],
            items=[self.items[i] for i in indices],
            prompts=[self.prompts[i] for i in indices],
        )

    def entry(self) -> Entry:
        """Return what the manifest records of the questions."""
        return {
            "asked": len(self.prompts),
            "asked_users": len(np.unique(self.users)),
            "groups": len(np.unique(self.users * (self.groups.max(initial=0) + 1) + self.groups)),
            "cut_groups": self.cut_groups,
            "cut_titles": self.cut_titles,
            "masked": dict(sorted(self.masked.items())),
        }


def augmented_sequences(task: ArtefactTask, dry_run: bool) -> dict[str, list[tuple[str, str]]]:
    """Return item and anchor of the augmented interactions of each user, by ids.

    Raises
    ------
    UserError
        When they have not been made; a dry run goes on without them.
    """
    source = task.source_set(AUGMENT)
    frame = None if source is None else source.augmented()
    if frame is None:
        if dry_run:
            return {}
        raise UserError(
            f"{task.folder}: grouped profiles are made of augmented sequences, and there are no "
            "augmented interactions of these settings; make them with '--only augment', or set "
            "profile_augmented: False"
        )
    by_user: dict[str, list[tuple[str, str]]] = {}
    columns = (frame[name] for name in (fields.USER, fields.ITEM, ANCHOR))
    for user, item, anchor in zip(*columns, strict=True):
        by_user.setdefault(user, []).append((item, anchor))
    return by_user


def sequences(
    training: TrainingRows, augmented: dict[str, list[tuple[str, str]]], ids: Sequence[str]
) -> list[np.ndarray]:
    """Return each user's distinct items, augmented ones included, oldest first; catalogue rows.

    An augmented item comes right after its anchor's last interaction, as in training.
    """
    row = {item: number for number, item in enumerate(ids)} if augmented else {}
    result = []
    for user, token in enumerate(training.user_tokens):
        # The last position of an item counts: take it out, then put it at the end.
        order: dict[int, None] = {}
        for item in training.items[training.of_user(user)].tolist():
            order.pop(item, None)
            order[item] = None
        after: dict[int, list[int]] = {}
        for item_id, anchor in augmented.get(token, ()):
            after.setdefault(row[anchor], []).append(row[item_id])
        chain = [one for item in order for one in (item, *after.get(item, ()))]
        result.append(np.array(list(dict.fromkeys(chain)), dtype=np.int64))
    return result


def group_questions(
    task: ArtefactTask, settings: ProfileSettings, titles: Sequence[str], dry_run: bool
) -> GroupQuestions:
    """Cluster each user's augmented sequence by K-means and write the questions.

    There is one group for each `profile_items_per_group` items, up to `profile_groups`, so that
    users with few items get fewer groups [ours]. A domain without items in a group is not asked
    about. A prompt shows the latest `profile_history` titles of a part.

    Raises
    ------
    UserError
        When no user has enough items with a title.
    """
    training = task.training
    augmented = augmented_sequences(task, dry_run) if settings.profile_augmented else {}
    unit = unit_vectors(task.item_vectors())
    usable = np.fromiter(map(bool, titles), dtype=bool, count=len(titles)) & unit.any(axis=1)
    wanted = np.ones(len(training.user_tokens), dtype=bool)
    if settings.profile_users == "sparse":
        deficits = find_deficits(
            training.count_by_domain(), AugmentSettings.from_config(task.config)
        )
        wanted[:] = False
        wanted[deficits.users] = True
    masked: Counter[str] = Counter()
    parts: list[tuple[int, int, int]] = []
    items: list[np.ndarray] = []
    with one_thread():
        for user, sequence in enumerate(sequences(training, augmented, task.catalogue.ids)):
            chosen = sequence[usable[sequence]]
            if not wanted[user]:
                masked[NOT_SPARSE] += 1
            elif len(sequence) < settings.profile_min_items:
                masked[TOO_FEW] += 1
            elif not len(chosen):
                masked[NO_TITLE] += 1
            else:
                for group, domain, part in _parts(chosen, unit, training.item_domains, settings):
                    parts.append((user, group, domain))
                    items.append(part)
    if not parts:
        raise UserError(
            f"profile_min_items: {settings.profile_min_items}, but there is no user with so many "
            f"items of whom something can be asked ({dict(masked)})"
        )
    users, groups, domains = np.array(parts, dtype=np.int64).T
    prompts, cut_titles, cut_groups = [], 0, 0
    for domain, part in zip(domains.tolist(), items, strict=True):
        shown = part[-settings.profile_history :]
        filled = llm.fill_group(training.domain_names[domain], [titles[item] for item in shown])
        prompts.append(filled.prompt)
        cut_titles += filled.cut_titles
        cut_groups += len(shown) < len(part)
    generation = llm.Generation(
        settings.profile_max_tokens, repetition_penalty=settings.llm_repetition_penalty
    )
    return GroupQuestions(
        users, groups, domains, items, prompts, generation, masked, cut_groups, cut_titles
    )


def _parts(
    items: np.ndarray, unit: np.ndarray, item_domains: np.ndarray, settings: ProfileSettings
) -> list[tuple[int, int, np.ndarray]]:
    """Return group, domain and items of each part of one user's sequence."""
    count = growing_count(len(items), settings.profile_items_per_group, settings.profile_groups)
    groups, domains = cluster(unit[items], count), item_domains[items]
    return [
        (group, int(domain), items[(groups == group) & (domains == domain)])
        for group in range(groups.max() + 1)
        for domain in np.unique(domains[groups == group])
    ]
