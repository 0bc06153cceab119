"""The pairs of user and domain that get a profile, and the question about each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.store import Entry
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.config import ProfilesKeys, RepetitionPenalty
from recbole_edt.errors import UserError
from recbole_edt.llm import PROFILE, GenerateRequests, Generation, Prompt, clean_title, fill

TOO_FEW, NO_TITLE = "too_few_items", "no_title"
"""Reasons to ask nothing about a user and domain; those of a bad reply are in `llm.parsing`."""


class ProfileSettings(ProfilesKeys):
    """The configuration keys that start with ``profile_``, as they are in the configuration."""

    llm_repetition_penalty: RepetitionPenalty

    @property
    def asks_model(self) -> bool:
        """Whether a language model is asked."""
        return self.profile_mode != "titles"


@dataclass(frozen=True)
class ProfileQuestions:
    """The questions about Q pairs of user and domain.

    Attributes
    ----------
    users, domains : numpy.ndarray
        int64 [Q], index into the user tokens and domain names of the training rows.
    counts : numpy.ndarray
        int64 [Q], training items of the user in the domain.
    titles : list of list of str
        The latest titles of each pair, oldest first, as a prompt shows them.
    all_titles : list of list of str
        All titles of each pair's training items, those in the prompt and earlier ones.
    prompts : list of Prompt
        One per pair.
    generation : Generation
        How replies are generated.
    masked : collections.Counter
        Pairs without a question, by reason.
    untitled : int
        Training rows of the Q pairs that no prompt shows, for want of a title.
    cut_titles : int
        Titles in the prompts that were cut.
    """

    users: np.ndarray
    domains: np.ndarray
    counts: np.ndarray
    titles: list[list[str]]
    all_titles: list[list[str]]
    prompts: list[Prompt]
    generation: Generation
    masked: Counter[str]
    untitled: int
    cut_titles: int

    @property
    def requests(self) -> GenerateRequests:
        """The questions as a language model takes them."""
        return GenerateRequests(self.prompts, self.generation)

    def entry(self) -> Entry:
        """Return what the manifest records of the questions."""
        return {
            "asked": len(self.prompts),
            "masked": dict(sorted(self.masked.items())),
            "untitled": self.untitled,
            "cut_titles": self.cut_titles,
        }


def profile_questions(
    training: TrainingRows, titles: Sequence[str], settings: ProfileSettings
) -> ProfileQuestions:
    """Write the questions: one per user and domain with enough training items.

    Parameters
    ----------
    training : TrainingRows
        The rows that may be learnt from.
    titles : sequence of str
        The title of each catalogue row, ``""`` where there is none.
    settings : ProfileSettings
        How many items are needed, and shown.

    Raises
    ------
    UserError
        When no user has enough items in any domain.

    Examples
    --------
    Two users and two domains (`width` 2), two items needed; a cell is ``user * 2 + domain``::

        users [0, 0, 0, 1]   domains [0, 0, 1, 1]
        pair  [0, 0, 1, 3]                            (cell of each row)
        count [2, 1, 0, 1]   enough [T, F, F, F]      (of each cell)
        asked [0]            starts [0]               (user 0 in domain 0, two titles)
    """
    width = len(training.domain_names)
    cells = len(training.user_tokens) * width
    pair = training.users * width + training.domains
    count = np.bincount(pair, minlength=cells)
    enough = count >= settings.profile_min_items
    if not enough.any():
        raise UserError(
            f"profile_min_items: {settings.profile_min_items}, but no user has so many training "
            f"items in one domain; the most are {count.max(initial=0)}"
        )
    clean = [clean_title(title)[0] for title in titles]
    titled = np.fromiter(map(bool, clean), dtype=bool, count=len(clean))[training.items]
    rows = np.flatnonzero(titled & enough[pair])
    rows = rows[np.argsort(pair[rows], kind="stable")]  # the order of time stays within a pair
    asked, starts = np.unique(pair[rows], return_index=True)
    shown, everything, prompts, cut_titles = [], [], [], 0
    for cell, of_pair in zip(asked, np.split(rows, starts[1:]), strict=True):
        latest = training.items[of_pair[-settings.profile_history :]]
        domain = training.domain_names[cell % width]
        filled = fill(PROFILE, domain, [titles[item] for item in latest])
        shown.append([clean[item] for item in latest])
        everything.append([clean[item] for item in np.unique(training.items[of_pair])])
        prompts.append(filled.prompt)
        cut_titles += filled.cut_titles
    masked = Counter({TOO_FEW: int((~enough).sum()), NO_TITLE: int(enough.sum()) - len(asked)})
    return ProfileQuestions(
        users=asked // width,
        domains=asked % width,
        counts=count[asked],
        titles=shown,
        all_titles=everything,
        prompts=prompts,
        generation=Generation(settings.profile_max_tokens),
        masked=+masked,
        untitled=int((~titled & enough[pair]).sum()),
        cut_titles=cut_titles,
    )
