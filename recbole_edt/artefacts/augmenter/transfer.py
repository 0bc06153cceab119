"""The mode `representatives`, the augmenter as its authors draw it [figure].

From representative items of one domain a language model writes titles of another; a noise filter
drops those that are far from the representatives.
"""

from collections.abc import Sequence

import numpy as np

from recbole_edt import llm
from recbole_edt.artefacts.augmenter.inputs import shown_titles
from recbole_edt.artefacts.augmenter.noise_filter import OTHER_SCRIPT, NoiseFilter
from recbole_edt.artefacts.augmenter.representatives import DomainPairs, UserItems, find_pairs
from recbole_edt.artefacts.augmenter.selection import FAILED, ModelQuestions, SelectedItems
from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.clusters import one_thread
from recbole_edt.artefacts.embeddings import TitleEncoder, unit_vectors
from recbole_edt.artefacts.store import Entry
from recbole_edt.artefacts.task import ArtefactTask

_TOKENS_PER_TITLE = 24
_EXAMPLE_TITLES = 4
"""Most titles of each domain in an example: what a prompt learns from it is the form."""
_ENCODED_AT_ONCE = 4096


def transfer_questions(task: ArtefactTask, settings: AugmentSettings) -> ModelQuestions:
    """Return one question per ordered pair of domains of a user."""
    training, titles = task.training, shown_titles(task.titles)
    unit = unit_vectors(task.item_vectors())
    titled = np.fromiter(map(bool, titles), dtype=bool, count=len(titles))
    usable = titled & np.asarray(unit.any(axis=1))
    # An item that is seen in held-out rows only is treated like one that is never seen.
    allowed = usable & (np.bincount(training.items, minlength=len(titles)) > 0)
    items = UserItems(training, usable, unit, settings)
    with one_thread():  # clusters the items of users, and of examples
        pairs = find_pairs(items, allowed)
        prompts, cut_titles = _prompts(items, titles, pairs)
    generation = llm.Generation(
        _TOKENS_PER_TITLE * settings.augment_cap,
        repetition_penalty=settings.llm_repetition_penalty,
        form=llm.TITLES,
    )
    counts: Entry = {
        "users": len(training.user_tokens),
        "asked_users": len(np.unique(pairs.users)),
        "pairs": len(pairs),
        "budget": int(pairs.limits.sum()),
        "representatives": sum(map(len, pairs.representatives)),
        "items_without_title": int((~titled).sum()),
        "cut_titles": cut_titles,
    }

    def read(replies: Sequence[llm.Reply], encode: TitleEncoder, thinks: bool) -> SelectedItems:
        noise = NoiseFilter(training, allowed, unit, titles, settings)
        return read_transfers(pairs, replies, noise, encode, thinks)

    return ModelQuestions(
        llm.GenerateRequests(prompts, generation),
        llm.TRANSFER,
        owners=pairs.users,
        users=pairs.users,
        unit=unit,
        counts=counts,
        read=read,
    )


def _prompts(
    items: UserItems, titles: Sequence[str], pairs: DomainPairs
) -> tuple[list[llm.Prompt], int]:
    """Return the prompt of each pair, and how many titles in them were cut.

    Examples come from training rows too, never from held-out ones.
    """
    names, settings = items.training.domain_names, items.settings
    drawn: dict[tuple[int, int], list[tuple[int, llm.Example]]] = {}

    def examples_of(user: int, source: int, target: int) -> list[llm.Example]:
        key = source, target
        if key not in drawn:
            others = items.draw_examples(source, target)
            drawn[key] = [(other, example(other, source, target)) for other in others]
        # A user never sees their own items as an example.
        seen = [one for other, one in drawn[key] if other != user]
        return seen[: settings.augment_examples]

    def example(user: int, source: int, target: int) -> llm.Example:
        shown = items.representatives(user, source)[-_EXAMPLE_TITLES:]
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
    return prompts, cut


def read_transfers(
    pairs: DomainPairs,
    replies: Sequence[llm.Reply],
    noise: NoiseFilter,
    encode: TitleEncoder,
    thinks: bool,
) -> SelectedItems:
    """Read the titles in all replies, encode each once, and filter them.

    Parameters
    ----------
    pairs, replies : DomainPairs, sequence of Reply
        What was asked about and what came back.
    noise : NoiseFilter
        Decides about the titles of each reply.
    encode : callable
        The item encoder.
    thinks : bool
        Whether the model is known to think aloud before it answers.
    """
    result = SelectedItems()
    by_question: list[tuple[int, list[str]]] = []
    only_thoughts = llm.thoughts_without_answer(replies, thinks)
    for number, (reply, only_thought) in enumerate(zip(replies, only_thoughts, strict=True)):
        if reply.failure is not None:
            result.rejects[FAILED + reply.failure] += 1
            continue
        if only_thought:
            result.rejects[llm.CUT_THOUGHT] += 1
            continue
        # More than asked for are read, so that a bad one does not cost a good one its place.
        limit = 2 * int(pairs.limits[number])
        parsed = llm.parse_titles(reply.text, limit)
        result.none += parsed.none
        result.rejects.update(parsed.rejects)
        titles = [title for title in parsed.titles if noise.has_known_script(title)]
        if len(titles) < len(parsed.titles):
            result.rejects[OTHER_SCRIPT] += len(parsed.titles) - len(titles)
        if titles:
            by_question.append((number, titles))
    distinct = list(dict.fromkeys(title for _, titles in by_question for title in titles))
    row = {title: n for n, title in enumerate(distinct)}
    parts = [
        encode(distinct[start : start + _ENCODED_AT_ONCE])
        for start in range(0, len(distinct), _ENCODED_AT_ONCE)
    ]
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    for number, titles in by_question:
        of_reply = vectors[[row[title] for title in titles]]
        noise.accept(pairs, number, of_reply, result)
    return result
