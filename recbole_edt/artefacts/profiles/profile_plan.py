"""Who gets a profile in which domain, and what is asked for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from recbole_edt.artefacts.task import Training
from recbole_edt.config import checked_keys
from recbole_edt.errors import UserError
from recbole_edt.llm.client import Prompt
from recbole_edt.llm.prompts import PROFILE, clean_title, fill

TOO_FEW, NO_TITLE = "too_few_items", "no_title"
"""Reasons to ask nothing about a user and domain; those of a bad reply stand in `llm.parsing`."""

LLM, TITLES = "llm", "titles"
"""What a profile is: a model's summary of the titles, or the titles themselves."""


@dataclass(frozen=True)
class ProfileSettings:
    """The configuration keys that start with ``profile_``; docs/keys.md explains them.

    Attributes
    ----------
    profile_mode : str
        `LLM` or `TITLES`.
    profile_min_items : int
        Training items in a domain below which there is no profile.
    profile_history : int
        Titles in a prompt: the latest ones.
    profile_max_tokens : int
        Tokens after which a reply is cut.
    profile_hide_titles : bool
        Whether titles that a reply quotes are replaced.
    """

    profile_mode: str
    profile_min_items: int
    profile_history: int
    profile_max_tokens: int
    profile_hide_titles: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ProfileSettings":
        """Read the settings from a configuration.

        Raises
        ------
        UserError
            For a value of the wrong type or out of range; the message names the key.
        """
        return cls(**checked_keys(config, [one.name for one in fields(cls)]))


@dataclass(frozen=True)
class ProfilePlan:
    """The questions about Q pairs of user and domain.

    Attributes
    ----------
    users, domains : numpy.ndarray
        int64 [Q], index into the user tokens and domain names of the training rows.
    counts : numpy.ndarray
        int64 [Q], training items of the user in the domain.
    titles : list of list of str
        The latest titles of each pair, oldest first, as a prompt shows them.
    own_titles : list of list of str
        All titles of each pair's training items, those in the prompt and earlier ones.
    prompts : list of Prompt
        One per pair.
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
    own_titles: list[list[str]]
    prompts: list[Prompt]
    masked: Counter[str]
    untitled: int
    cut_titles: int


def plan_profiles(
    training: Training, titles: Sequence[str], settings: ProfileSettings
) -> ProfilePlan:
    """Write the questions: one per user and domain with enough training items.

    Parameters
    ----------
    training : Training
        The rows that may be learnt from.
    titles : sequence of str
        The title of each catalogue row, ``""`` where there is none.
    settings : ProfileSettings
        How many items are needed, and shown.

    Raises
    ------
    UserError
        When no user has enough items in any domain.
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
    shown, own, prompts, cut_titles = [], [], [], 0
    for cell, of_pair in zip(asked, np.split(rows, starts[1:]), strict=True):
        latest = training.items[of_pair[-settings.profile_history :]]
        domain = training.domain_names[cell % width]
        filled = fill(PROFILE, domain, [titles[item] for item in latest])
        shown.append([clean[item] for item in latest])
        own.append([clean[item] for item in np.unique(training.items[of_pair])])
        prompts.append(filled.prompt)
        cut_titles += filled.cut_titles
    masked = Counter({TOO_FEW: int((~enough).sum()), NO_TITLE: int(enough.sum()) - len(asked)})
    untitled = int((~titled & enough[pair]).sum())
    users, domains = asked // width, asked % width
    counts = count[asked]
    return ProfilePlan(users, domains, counts, shown, own, prompts, +masked, untitled, cut_titles)
