"""The questions that a language model is asked about the candidates of each deficit."""

from dataclasses import dataclass, field

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter.inputs import SelectionInputs
from recbole_edt.artefacts.settings import PROMPTS

_TOKENS = {"select": 6, "generate": 24}
"""Tokens that one proposal may take in a reply."""
_FORMS = {"select": llm.NUMBERS, "generate": llm.TITLES}
"""What a reply is a list of."""


@dataclass
class Questions:
    """One question per deficit that has candidates and titles to show.

    Attributes
    ----------
    mode : str
        ``select``, ``score`` or ``generate``.
    settings : Generation
        For modes with a reply.
    deficits : list of int
        The deficit of each question.
    prompts : list of Prompt
        The prompt of each question.
    offered : list of numpy.ndarray
        The candidates of each question, catalogue rows, in the order shown or scored.
    texts : list of list of str
        Their titles as continuations to score; empty lists in other modes.
    cut_titles : int
        Titles in the prompts that were longer than allowed.
    without_history : int
        Deficits that are not asked about because no item of the user's has a title.
    """

    mode: str
    settings: llm.Generation
    deficits: list[int] = field(default_factory=list)
    prompts: list[llm.Prompt] = field(default_factory=list)
    offered: list[np.ndarray] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    cut_titles: int = 0
    without_history: int = 0

    @property
    def requests(self) -> llm.GenerateRequests | llm.ScoreRequests:
        """The questions as a language model takes them."""
        if self.mode == "score":
            return llm.ScoreRequests(self.prompts, self.texts)
        return llm.GenerateRequests(self.prompts, self.settings)


def make_questions(mode: str, inputs: SelectionInputs, cap: int) -> Questions:
    """Make the question of each deficit.

    The history shown is the end of the user's mixed training sequence. Candidates to select
    from are shuffled, so that a model with a liking for the first numbers does not pass off
    the order of retrieval as its own judgement [ours].

    Parameters
    ----------
    mode : str
        ``select``, ``score`` or ``generate``.
    inputs : SelectionInputs
        Deficits and candidates.
    cap : int
        Most proposals of any deficit: bounds the length of replies.
    """
    names, titles = inputs.training.domain_names, inputs.titles
    generation = llm.Generation(_TOKENS.get(mode, 0) * cap, form=_FORMS.get(mode, llm.TEXT))
    questions = Questions(mode, generation)
    for deficit in np.flatnonzero(inputs.candidates.sizes).tolist():
        history = [item for item in inputs.history_items(deficit) if titles[item]]
        history = history[-inputs.history :]
        if not history:
            questions.without_history += 1
            continue
        items = inputs.shown(deficit) if mode == "select" else inputs.candidates.of(deficit)
        candidates = [titles[item] for item in items]
        filled = llm.fill(
            PROMPTS[mode],
            names[inputs.deficits.domains[deficit]],
            [titles[item] for item in history],
            candidates if mode == "select" else None,
            int(inputs.deficits.limits[deficit]),
            [names[inputs.training.item_domains[item]] for item in history],
        )
        questions.cut_titles += filled.cut_titles
        questions.deficits.append(deficit)
        questions.prompts.append(filled.prompt)
        questions.offered.append(items)
        scored = [llm.clean_title(title)[0] for title in candidates] if mode == "score" else []
        questions.texts.append(scored)
    return questions
