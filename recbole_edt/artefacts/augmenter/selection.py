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
    selected = SelectedItems()
    usable: list[tuple[int, llm.Answer]] = []
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
            continue
        usable.append((index, answer))
    if questions.mode == "generate":
        if encode is None:
            raise ValueError("free titles need an encoder")
        _read_titles(questions, usable, inputs, encode, floor, selected)
        return selected
    for index, answer in usable:
        deficit, offered = questions.deficits[index], questions.offered[index]
        limit = int(inputs.deficits.limits[deficit])
        if isinstance(answer, llm.Scores):
            _read_scores(deficit, offered, answer.means, limit, selected)
        else:
            titles = [llm.clean_title(inputs.titles[item])[0] for item in offered]
            choices = llm.parse_choices(answer.text, titles, limit)
            selected.none += choices.none
            selected.rejects.update(choices.rejects)
            for rank, number in enumerate(choices.numbers):
                selected.accept(deficit, offered[number - 1], 1 / (rank + 1))
    return selected


def _read_scores(
    deficit: int, offered: np.ndarray, means: np.ndarray, limit: int, selected: SelectedItems
) -> None:
    finite = np.isfinite(means)
    if not finite.all():
        selected.rejects[NOT_FINITE] += int((~finite).sum())
    order = np.argsort(-np.where(finite, means, -np.inf), kind="stable")
    for position in order[: min(limit, int(finite.sum()))]:
        selected.accept(deficit, offered[position], means[position])


def _read_titles(
    questions: Questions,
    usable: Sequence[tuple[int, llm.Answer]],
    inputs: SelectionInputs,
    encode: TitleEncoder,
    floor: float,
    selected: SelectedItems,
) -> None:
    """Encode the free titles of all replies and ground those of each."""
    titles: list[tuple[int, Sequence[str]]] = []
    for index, answer in usable:
        parsed = llm.parse_titles(
            answer.text if isinstance(answer, llm.Reply) else "", _MOST_TITLES
        )
        selected.none += parsed.none
        selected.rejects.update(parsed.rejects)
        titles.append((index, parsed.titles))
    texts = [title for _, of_reply in titles for title in of_reply]
    if not texts:
        return
    ends = np.cumsum([len(of_reply) for _, of_reply in titles])
    for (index, _), vectors in zip(titles, np.split(encode(texts), ends[:-1]), strict=True):
        deficit, offered = questions.deficits[index], questions.offered[index]
        _ground(deficit, offered, vectors, inputs, floor, selected)


def _ground(
    deficit: int,
    offered: np.ndarray,
    vectors: np.ndarray,
    inputs: SelectionInputs,
    floor: float,
    selected: SelectedItems,
) -> None:
    """Accept the candidate nearest to each free title, if it is near enough.

    A title nearest to an item of the user's own history repeats it, and is rejected rather
    than bent into a candidate [ours].
    """
    limit, taken = int(inputs.deficits.limits[deficit]), set[int]()
    similarity = vectors @ inputs.unit[offered].T
    to_history = (vectors @ inputs.unit[inputs.history_items(deficit)].T).max(axis=1, initial=-1)
    for row, repeated in zip(similarity, to_history, strict=True):
        best = int(row.argmax())
        if repeated >= row[best] and repeated >= floor:
            selected.rejects[IN_HISTORY] += 1
        elif row[best] < floor:
            selected.rejects[UNGROUNDED] += 1
        elif best in taken:
            selected.rejects[llm.DUPLICATE] += 1
        elif len(taken) >= limit:
            selected.rejects[llm.OVER_LIMIT] += 1
        else:
            taken.add(best)
            selected.accept(deficit, offered[best], row[best])
