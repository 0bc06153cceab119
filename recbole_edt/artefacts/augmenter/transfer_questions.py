"""The questions of the mode `representatives`: from items of one domain to items of another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter.representatives import DomainPairs, UserItems, draw_examples
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.training_rows import TrainingRows

TOKENS_PER_TITLE = 24
_EXAMPLE_TITLES = 4
"""Most titles of each domain in an example: what a prompt learns from it is the form."""


@dataclass(frozen=True)
class TransferQuestions:
    """One question per ordered pair of domains of a user.

    Attributes
    ----------
    pairs : DomainPairs
        What each question is about.
    prompts : list of Prompt
        The prompt of each question.
    settings : Generation
        How replies are generated.
    cut_titles : int
        Titles in the prompts that were longer than allowed.
    """

    pairs: DomainPairs
    prompts: list[llm.Prompt]
    settings: llm.Generation
    cut_titles: int

    @property
    def requests(self) -> llm.GenerateRequests:
        """The questions as a language model takes them."""
        return llm.GenerateRequests(self.prompts, self.settings)

    def part(self, indices: Sequence[int]) -> "TransferQuestions":
        """Return the prompts at these positions; the pairs stay those of all questions."""
        return replace(self, prompts=[self.prompts[index] for index in indices])


def transfer_questions(
    training: TrainingRows,
    titles: Sequence[str],
    usable: np.ndarray,
    unit: np.ndarray,
    pairs: DomainPairs,
    settings: AugmentSettings,
) -> TransferQuestions:
    """Write the question of each pair.

    Parameters
    ----------
    training : TrainingRows
        Histories; examples come from them too, never from held-out rows.
    titles : sequence of str
        Title of each catalogue row.
    usable : numpy.ndarray
        bool [N], items with a title and a vector.
    unit : numpy.ndarray
        float32 [N, m], unit vectors of the items.
    pairs : DomainPairs
        The questions.
    settings : AugmentSettings
        Examples and limits.
    """
    names, items = training.domain_names, UserItems(training, usable)
    drawn: dict[tuple[int, int], list[tuple[int, llm.Example]]] = {}

    def examples_of(user: int, source: int, target: int) -> list[llm.Example]:
        key = source, target
        if key not in drawn:
            count, seed = settings.augment_examples, settings.augment_seed
            others = draw_examples(training, usable, source, target, count, seed)
            drawn[key] = [(other, example(other, source, target)) for other in others]
        # A user never sees their own items as an example.
        seen = [one for other, one in drawn[key] if other != user]
        return seen[: settings.augment_examples]

    def example(user: int, source: int, target: int) -> llm.Example:
        shown = items.representatives(user, source, unit, settings)[-_EXAMPLE_TITLES:]
        named = items.of(user, target)[-min(_EXAMPLE_TITLES, settings.augment_cap) :]
        return llm.Example([titles[item] for item in shown], [titles[item] for item in named])

    prompts, cut = [], 0
    columns = pairs.users, pairs.sources, pairs.targets, pairs.limits
    for number, (user, source, target, limit) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        filled = llm.fill_transfer(
            names[source],
            names[target],
            [titles[item] for item in pairs.representatives[number]],
            examples_of(user, source, target),
            limit,
        )
        prompts.append(filled.prompt)
        cut += filled.cut_titles
    generation = llm.Generation(
        TOKENS_PER_TITLE * settings.augment_cap,
        repetition_penalty=settings.llm_repetition_penalty,
        form=llm.TITLES,
    )
    return TransferQuestions(pairs, prompts, generation, cut)
