"""From answers to accepted items, and the rules that choose without a language model."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from recbole_edt.artefacts.questions import Questions, Work
from recbole_edt.llm.client import Answer, Reply, Scores
from recbole_edt.llm.parsing import DUPLICATE, OVER_LIMIT, parse_choices, parse_titles
from recbole_edt.llm.prompts import clean_title

UNGROUNDED, IN_HISTORY, NOT_FINITE = "ungrounded", "in_history", "not_finite"
FAILED = "failed_"
"""Prefix of the reasons that stand for a question without an answer."""

_MOST_TITLES = 64

Encode = Callable[[Sequence[str]], np.ndarray]
"""Turns n texts into unit vectors, float32 [n, m]."""


@dataclass
class Choice:
    """What was accepted, in order of preference within a demand.

    Attributes
    ----------
    demands, items : list of int
        Demand and catalogue row of each accepted item.
    scores : list of float
        What the item was preferred by, see docs/augmenter.md.
    rejects : collections.Counter
        How much was turned away, by reason.
    none : int
        Replies that nothing fits.
    prompt_tokens, generated_tokens : int
        Tokens of the questions, and of the replies or scored titles.
    """

    demands: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    none: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def accept(self, demand: int, item: int, score: float) -> None:
        """Take in one item."""
        self.demands.append(int(demand))
        self.items.append(int(item))
        self.scores.append(float(score))


def choose_by_rule(mode: str, work: Work) -> Choice:
    """Choose without a language model, from the same pools.

    Parameters
    ----------
    mode : str
        ``similarity`` takes the nearest candidates, ``popularity`` those with most training
        interactions (equal ones: the nearer), ``random`` any.
    work : Work
        Demands and candidates.
    """
    owners, pool = work.pool.owners, work.pool
    preference = pool.values.astype(np.float64)
    if mode == "popularity":
        preference = work.popularity[pool.items].astype(np.float64)
    items, scores = pool.items, preference
    if mode == "random":
        drawn = [work.drawn(demand) for demand in range(len(work.demands))]
        items = np.concatenate([*drawn, np.zeros(0, np.int64)])
        scores = np.zeros(len(items))
    order = np.lexsort((np.arange(len(items)), -scores, owners))
    owners, items, scores = owners[order], items[order], scores[order]
    rank = np.arange(len(items)) - pool.starts[owners]
    kept = rank < work.demands.limits[owners]
    return Choice(owners[kept].tolist(), items[kept].tolist(), scores[kept].tolist())


def read_answers(
    questions: Questions,
    answers: Sequence[Answer],
    work: Work,
    encode: Encode | None,
    floor: float,
) -> Choice:
    """Read the answers of a language model.

    Parameters
    ----------
    questions, answers : Questions, sequence of Answer
        What was asked and what came back.
    work : Work
        Demands and candidates.
    encode : callable
        The item encoder; for `generate` only.
    floor : float
        Least similarity of a free title to a candidate.
    """
    choice = Choice()
    usable = []
    for place, answer in enumerate(answers):
        if answer.failure is not None:
            choice.rejects[FAILED + answer.failure] += 1
            continue
        written = answer.generated_tokens if isinstance(answer, Reply) else sum(answer.counts)
        choice.prompt_tokens += answer.prompt_tokens
        choice.generated_tokens += written
        usable.append((place, answer))
    if questions.mode == "generate":
        if encode is None:
            raise ValueError("free titles need an encoder")
        _read_titles(questions, usable, work, encode, floor, choice)
        return choice
    for place, answer in usable:
        demand, offered = questions.demands[place], questions.offered[place]
        limit = int(work.demands.limits[demand])
        if isinstance(answer, Scores):
            _read_scores(demand, offered, answer.means, limit, choice)
        elif isinstance(answer, Reply):
            titles = [clean_title(work.titles[item])[0] for item in offered]
            read = parse_choices(answer.text, titles, limit)
            choice.none += read.none
            choice.rejects.update(read.rejects)
            for rank, number in enumerate(read.numbers):
                choice.accept(demand, offered[number - 1], 1 / (rank + 1))
    return choice


def _read_scores(
    demand: int, offered: np.ndarray, means: np.ndarray, limit: int, choice: Choice
) -> None:
    finite = np.isfinite(means)
    if not finite.all():
        choice.rejects[NOT_FINITE] += int((~finite).sum())
    order = np.argsort(-np.where(finite, means, -np.inf), kind="stable")
    for place in order[: min(limit, int(finite.sum()))]:
        choice.accept(demand, offered[place], means[place])


def _read_titles(
    questions: Questions,
    usable: Sequence[tuple[int, Answer]],
    work: Work,
    encode: Encode,
    floor: float,
    choice: Choice,
) -> None:
    """Accept the candidate nearest to each free title, if it is near enough.

    A title nearest to an item of the user's own history repeats it, and is turned away rather
    than bent into a candidate [ours].
    """
    named: list[tuple[int, Sequence[str]]] = []
    for place, answer in usable:
        read = parse_titles(answer.text if isinstance(answer, Reply) else "", _MOST_TITLES)
        choice.none += read.none
        choice.rejects.update(read.rejects)
        named.append((place, read.titles))
    texts = [title for _, titles in named for title in titles]
    if not texts:
        return
    vectors = encode(texts)
    start = 0
    for place, titles in named:
        here = vectors[start : start + len(titles)]
        start += len(titles)
        demand, offered = questions.demands[place], questions.offered[place]
        limit, taken = int(work.demands.limits[demand]), set[int]()
        similarity = here @ work.unit[offered].T
        known = (here @ work.unit[work.history_items(demand)].T).max(axis=1, initial=-1)
        for row, repeated in zip(similarity, known, strict=True):
            best = int(row.argmax())
            if repeated >= row[best] and repeated >= floor:
                choice.rejects[IN_HISTORY] += 1
            elif row[best] < floor:
                choice.rejects[UNGROUNDED] += 1
            elif best in taken:
                choice.rejects[DUPLICATE] += 1
            elif len(taken) >= limit:
                choice.rejects[OVER_LIMIT] += 1
            else:
                taken.add(best)
                choice.accept(demand, offered[best], row[best])
