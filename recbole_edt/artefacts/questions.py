"""What a language model is asked about the candidates of each demand."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_edt.artefacts.augmenter.budget import Demands
from recbole_edt.artefacts.augmenter.pool import Pool
from recbole_edt.artefacts.task import Training
from recbole_edt.llm import estimate
from recbole_edt.llm.cached import CachedClient, Progress
from recbole_edt.llm.client import Answer, Generation, Prompt
from recbole_edt.llm.prompts import GENERATE, SCORE, SELECT, Template, clean_title, fill

TEMPLATES: dict[str, Template] = {"select": SELECT, "score": SCORE, "generate": GENERATE}
"""The prompt of each mode that asks a language model."""

_TOKENS = {"select": 6, "generate": 24}
"""Tokens that one proposal may take in a reply."""

_SEED = 2026
"""Of the order in which candidates are shown: fixed, so that only random choice has a seed."""


@dataclass(frozen=True)
class Work:
    """What a choice is made from; N items, D demands.

    Attributes
    ----------
    training : Training
        Histories.
    demands : Demands
        Who lacks items where.
    pool : Pool
        Candidates.
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

    training: Training
    demands: Demands
    pool: Pool
    titles: list[str]
    unit: np.ndarray
    popularity: np.ndarray
    history: int
    seed: int = _SEED

    def user(self, demand: int) -> str:
        """Return the user id of a demand."""
        return self.training.user_tokens[self.demands.users[demand]]

    def history_items(self, demand: int) -> np.ndarray:
        """Return the user's training items, catalogue rows, oldest first."""
        user = self.demands.users[demand]
        return self.training.items[self.training.starts[user] : self.training.starts[user + 1]]

    def shown(self, demand: int) -> np.ndarray:
        """Return the candidates of a demand in the order in which a prompt numbers them."""
        return self._shuffled(demand, _SEED, "select")

    def drawn(self, demand: int) -> np.ndarray:
        """Return the candidates of a demand in an order drawn by `seed`."""
        return self._shuffled(demand, self.seed, "random")

    def _shuffled(self, demand: int, number: int, purpose: str) -> np.ndarray:
        """Return the candidates in an order drawn for this user and domain alone.

        The draw depends on no other user, so that it is the same in every share of the work.
        """
        domain = self.training.domain_names[self.demands.domains[demand]]
        key = json.dumps([number, purpose, self.user(demand), domain])
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).permutation(self.pool.items[self.pool.of(demand)])


@dataclass(frozen=True)
class Questions:
    """One question per demand that has candidates and titles to show.

    Attributes
    ----------
    mode : str
        A key of `TEMPLATES`.
    demands : list of int
        The demand of each question.
    prompts : list of Prompt
        What is asked.
    offered : list of numpy.ndarray
        The candidates of each question, catalogue rows, in the order shown or scored.
    texts : list of list of str
        Their titles as continuations to score; empty lists in other modes.
    settings : Generation
        For modes with a reply.
    cut_titles : int
        Titles in the prompts that were longer than allowed.
    without_history : int
        Demands that are not asked about because no item of the user's has a title.
    """

    mode: str
    demands: list[int]
    prompts: list[Prompt]
    offered: list[np.ndarray]
    texts: list[list[str]]
    settings: Generation
    cut_titles: int
    without_history: int

    def part(self, kept: Sequence[int]) -> "Questions":
        """Return the questions at these places."""
        return Questions(
            self.mode,
            [self.demands[i] for i in kept],
            [self.prompts[i] for i in kept],
            [self.offered[i] for i in kept],
            [self.texts[i] for i in kept],
            self.settings,
            self.cut_titles,
            self.without_history,
        )

    def put(self, client: CachedClient, progress: Progress | None = None) -> Sequence[Answer]:
        """Ask, or take from the store, and return one answer per question."""
        if self.mode == "score":
            return client.score(self.prompts, self.texts, progress)
        return client.generate(self.prompts, self.settings, progress)

    def keys(self, client: CachedClient) -> list[str]:
        """Return the key of each question in the store of replies."""
        if self.mode == "score":
            pairs = zip(self.prompts, self.texts, strict=True)
            return [client.scoring_key(*pair) for pair in pairs]
        return [client.generation_key(prompt, self.settings) for prompt in self.prompts]

    def estimate(self, client: CachedClient, tokens_per_second: float) -> estimate.Estimate:
        """Return what asking would take."""
        if self.mode == "score":
            return estimate.estimate_score(client, self.prompts, self.texts, tokens_per_second)
        return estimate.estimate_generate(client, self.prompts, self.settings, tokens_per_second)


def shown_titles(titles: Sequence[str]) -> list[str]:
    """Return the titles, ``""`` for one of which nothing would be left in a prompt."""
    return [title if clean_title(title)[0] else "" for title in titles]


def make_questions(mode: str, work: Work, cap: int) -> Questions:
    """Make the question of each demand.

    The history shown is the end of the user's mixed training sequence. Candidates to select
    from are shuffled, so that a model with a liking for the first numbers does not pass off
    the order of retrieval as its own judgement [ours].

    Parameters
    ----------
    mode : str
        A key of `TEMPLATES`.
    work : Work
        Demands and candidates.
    cap : int
        Most proposals of any demand: bounds the length of replies.
    """
    names = work.training.domain_names
    sizes = work.pool.sizes
    questions = Questions(mode, [], [], [], [], Generation(_TOKENS.get(mode, 0) * cap), 0, 0)
    cut = without_history = 0
    for demand in np.flatnonzero(sizes).tolist():
        history = [item for item in work.history_items(demand) if work.titles[item]]
        history = history[-work.history :]
        if not history:
            without_history += 1
            continue
        items = work.pool.items[work.pool.of(demand)]
        if mode == "select":
            items = work.shown(demand)
        candidates = [work.titles[item] for item in items]
        filled = fill(
            TEMPLATES[mode],
            names[work.demands.domains[demand]],
            [work.titles[item] for item in history],
            candidates if mode == "select" else None,
            int(work.demands.limits[demand]),
            [names[work.training.item_domains[item]] for item in history],
        )
        cut += filled.cut_titles
        questions.demands.append(demand)
        questions.prompts.append(filled.prompt)
        questions.offered.append(items)
        scored = [clean_title(title)[0] for title in candidates] if mode == "score" else []
        questions.texts.append(scored)
    return Questions(
        mode,
        questions.demands,
        questions.prompts,
        questions.offered,
        questions.texts,
        questions.settings,
        cut,
        without_history,
    )
