"""Selection of items from candidate sets: by a language model's answers, or by a rule."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter.inputs import SelectionInputs
from recbole_edt.artefacts.augmenter.questions import Questions
from recbole_edt.artefacts.embeddings import TitleEncoder
from recbole_edt.artefacts.store import Entry

UNGROUNDED, IN_HISTORY, NOT_FINITE = "ungrounded", "in_history", "not_finite"
_MOST_TITLES = 64
FAILED = "failed_"
"""Prefix of the reasons that count questions without an answer."""


def count_failed(rejects: Mapping[str, int]) -> int:
    """Return how many questions without an answer are worth asking again."""
    lost = FAILED + llm.PROMPT_TOO_LONG
    return sum(n for reason, n in rejects.items() if reason.startswith(FAILED) and reason != lost)


@dataclass
class SelectedItems:
    """What was selected, in order of preference within a deficit.

    Attributes
    ----------
    deficits, items : list of int
        Deficit (in the mode `representatives`, pair of domains) and catalogue row of each item.
    scores : list of float
        What the item was preferred by, see docs/augmenter.md.
    rejects : collections.Counter
        How much was rejected, by reason.
    none : int
        Replies that nothing fits.
    prompt_tokens, generated_tokens : int
        Tokens of the questions, and of the replies or scored titles.
    """

    deficits: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    none: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def accept(self, deficit: int, item: int, score: float) -> None:
        """Add one item."""
        self.deficits.append(int(deficit))
        self.items.append(int(item))
        self.scores.append(float(score))


@dataclass(frozen=True)
class ModelQuestions:
    """Q questions of any mode that asks a language model, and what becomes of the answers.

    Attributes
    ----------
    requests : Requests
        The questions as a language model takes them.
    template : Template
        Their prompt.
    owners : numpy.ndarray
        int64 [D], user of each deficit or pair of domains that items are selected for.
    users : numpy.ndarray
        int64 [Q], user of each question.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.
    counts : dict
        What the manifest records of the questions.
    read : callable
        Makes `SelectedItems` of the answers, the item encoder (for free titles only), and whether
        the model thinks aloud.
    """

    requests: llm.Requests
    template: llm.Template
    owners: np.ndarray
    users: np.ndarray
    unit: np.ndarray
    counts: Entry
    read: Callable[[Sequence[Any], Any, bool], SelectedItems]


def select_by_rule(mode: str, inputs: SelectionInputs) -> SelectedItems:
    """Select without a language model, from the same candidate sets.

    Parameters
    ----------
    mode : str
        ``similarity`` takes the most related candidates, ``popularity`` those with most training
        interactions (equal ones: the more related), ``random`` any.
    inputs : SelectionInputs
        Deficits and candidates.

    Examples
    --------
    Two deficits with limits 1 and 2, by popularity::

        owners  [0, 0, 1, 1, 1]      scores [3, 9, 5, 1, 7]
        order   positions 1, 0, 4, 2, 3
        rank    0, 1, 0, 1, 2        (within the deficit)
        kept    positions 1, 4, 2
    """
    candidates = inputs.candidates
    owners, items = candidates.owners, candidates.items
    scores = candidates.values.astype(np.float64)
    if mode == "popularity":
        scores = inputs.popularity[items].astype(np.float64)
    if mode == "random":
        drawn = [inputs.drawn(deficit) for deficit in range(len(inputs.deficits))]
        items = np.concatenate([*drawn, np.zeros(0, np.int64)])
        scores = np.zeros(len(items))
    order = np.lexsort((np.arange(len(items)), -scores, owners))
    owners, items, scores = owners[order], items[order], scores[order]
    rank = np.arange(len(items)) - candidates.starts[owners]
    kept = rank < inputs.deficits.limits[owners]
    return SelectedItems(owners[kept].tolist(), items[kept].tolist(), scores[kept].tolist())


def read_answers(
    questions: Questions,
    answers: Sequence[llm.Answer],
    inputs: SelectionInputs,
    encode: TitleEncoder | None,
    floor: float,
    thinks: bool = False,
) -> SelectedItems:
    """Read the answers of a language model.

    Parameters
    ----------
    questions, answers : Questions, sequence of Answer
        What was asked and what came back.
    inputs : SelectionInputs
        Deficits and candidates.
    encode : callable
        The item encoder; for `generate` only.
    floor : float
        Least similarity of a free title to a candidate.
    thinks : bool
        Whether the model is known to think aloud before it answers.
    """
    reader = _Reader(questions, inputs, floor)
    selected, usable = reader.selected, dict[int, llm.Answer]()
    replies = [one if isinstance(one, llm.Reply) else llm.Reply("") for one in answers]
    only_thoughts = llm.thoughts_without_answer(replies, thinks)
    for index, answer in enumerate(answers):
        if answer.failure is not None:
            selected.rejects[FAILED + answer.failure] += 1
            continue
        selected.prompt_tokens += answer.prompt_tokens
        selected.generated_tokens += answer.output_tokens
        if only_thoughts[index]:
            selected.rejects[llm.CUT_THOUGHT] += 1
        else:
            usable[index] = answer
    if questions.mode == "generate":
        if encode is None:
            raise ValueError("free titles need an encoder")
        reader.read_titles({index: replies[index].text for index in usable}, encode)
        return selected
    for index, answer in usable.items():
        if isinstance(answer, llm.Scores):
            reader.read_scores(index, answer.means)
        else:
            reader.read_choices(index, answer.text)
    return selected


@dataclass(frozen=True)
class _Reader:
    """Adds what usable answers select, each named by the index of its question."""

    questions: Questions
    inputs: SelectionInputs
    floor: float
    selected: SelectedItems = field(default_factory=SelectedItems)

    def _about(self, index: int) -> tuple[int, np.ndarray, int]:
        """Return deficit, candidates and limit of a question."""
        deficit = self.questions.deficits[index]
        limit = int(self.inputs.deficits.limits[deficit])
        return deficit, self.questions.offered[index], limit

    def read_choices(self, index: int, reply: str) -> None:
        """Read numbers of candidates."""
        deficit, offered, limit = self._about(index)
        titles = [llm.clean_title(self.inputs.titles[item])[0] for item in offered]
        choices = llm.parse_choices(reply, titles, limit)
        self.selected.none += choices.none
        self.selected.rejects.update(choices.rejects)
        for rank, number in enumerate(choices.numbers):
            self.selected.accept(deficit, offered[number - 1], 1 / (rank + 1))

    def read_scores(self, index: int, means: np.ndarray) -> None:
        """Read the mean log-likelihood of each candidate."""
        deficit, offered, limit = self._about(index)
        finite = np.isfinite(means)
        if not finite.all():
            self.selected.rejects[NOT_FINITE] += int((~finite).sum())
        order = np.argsort(-np.where(finite, means, -np.inf), kind="stable")
        for position in order[: min(limit, int(finite.sum()))]:
            self.selected.accept(deficit, offered[position], means[position])

    def read_titles(self, replies: Mapping[int, str], encode: TitleEncoder) -> None:
        """Encode the free titles of all replies and ground those of each."""
        titles: dict[int, Sequence[str]] = {}
        for index, reply in replies.items():
            parsed = llm.parse_titles(reply, _MOST_TITLES)
            self.selected.none += parsed.none
            self.selected.rejects.update(parsed.rejects)
            titles[index] = parsed.titles
        texts = [title for of_reply in titles.values() for title in of_reply]
        if not texts:
            return
        ends = np.cumsum([len(of_reply) for of_reply in titles.values()])
        for index, vectors in zip(titles, np.split(encode(texts), ends[:-1]), strict=True):
            self._ground(index, vectors)

    def _ground(self, index: int, vectors: np.ndarray) -> None:
        """Accept the candidate nearest to each free title, if it is near enough.

        A title nearest to an item of the user's own history repeats it, and is rejected rather
        than bent into a candidate [ours].
        """
        (deficit, offered, limit), taken = self._about(index), set[int]()
        unit, rejects = self.inputs.unit, self.selected.rejects
        history = self.inputs.history_items(deficit)
        similarity = vectors @ unit[offered].T
        to_history = (vectors @ unit[history].T).max(axis=1, initial=-1)
        for row, repeated in zip(similarity, to_history, strict=True):
            best = int(row.argmax())
            if repeated >= row[best] and repeated >= self.floor:
                rejects[IN_HISTORY] += 1
            elif row[best] < self.floor:
                rejects[UNGROUNDED] += 1
            elif best in taken:
                rejects[llm.DUPLICATE] += 1
            elif len(taken) >= limit:
                rejects[llm.OVER_LIMIT] += 1
            else:
                taken.add(best)
                self.selected.accept(deficit, offered[best], row[best])
